"""`fhir-dmp encryption`, and what the other commands do with an encrypted store."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fhir_dmp import configuration, keyring
from fhir_dmp.bootstrap import open_store
from fhir_dmp.errors import ConfigurationError
from fhir_dmp.ports import AuditQuery, ResourceStore
from tests import samples
from tests.cli.calling import CommandLine
from tests.flows import dumps
from tests.flows.steps import Dossier
from tests.store.samples import doc, key, put

INS = samples.BASILE
TEXT = b"Une osteodystrophie, decrite ici."


@pytest.fixture
def enc(cli: CommandLine) -> CommandLine:
    """`fhir-dmp` over an encrypted store with its first master key."""
    cli.environ["DMP_STORE_ENCRYPTION_KEYS"] = str(cli.folder / "master.json")
    assert cli("encryption", "new-key").status == 0
    return cli


def kids(cli: CommandLine) -> list[str]:
    """Return the ids of the master keys of the file."""
    return [kid for kid, _ in keyring.master_keys(cli.folder / "master.json")]


@contextmanager
def opened(cli: CommandLine, store: str | None = None, **environ: str) -> Iterator[ResourceStore]:
    """Open the store alone, as every command does."""
    with cli._inside({**environ, **cli._store(store)}), closing(open_store(configuration.load().store)) as found:
        yield found


def filled(cli: CommandLine) -> None:
    """Store something of a patient."""
    with opened(cli) as store:
        put(store, doc("a", patient="Patient/p1", text="osteodystrophie", tokens=[f"identifier=c:{INS}"]))


def readable(cli: CommandLine, **environ: str) -> bool:
    """Say whether it can be read."""
    with opened(cli, **environ) as store:
        found = store.read(key("a"))
        return found is not None and b"osteodystrophie" in found.body


def refusal(cli: CommandLine, store: str | None = None, **environ: str) -> str:
    """Return why the store does not open."""
    with pytest.raises(ConfigurationError) as error, opened(cli, store, **environ):
        pass
    return str(error.value)


def test_a_master_key_is_made_once_and_for_its_owner_alone(enc: CommandLine) -> None:
    path = enc.folder / "master.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    done = enc("encryption", "new-key")
    assert (done.status, "exists already" in done.err) == (2, True)
    assert path.read_bytes() == before
    path.chmod(0o644)
    assert "others may read this key" in enc("check").out


def test_check_says_whether_the_store_is_encrypted(enc: CommandLine) -> None:
    assert f"at rest        ok: the store will be encrypted, master key {kids(enc)[0]}" in enc("check").out
    enc("migrate")
    done = enc("check")
    assert (done.status, done.err) == (0, "")
    assert f"at rest        ok: encrypted, master key {kids(enc)[0]}, data keys in the store itself" in done.out
    done = enc("check", store="other", DMP_STORE_ENCRYPTION_KEYS="")
    assert "at rest" not in done.out


def test_a_lost_or_wrong_key_stops_the_start_and_changes_nothing(enc: CommandLine) -> None:
    filled(enc)
    path = enc.folder / "master.json"
    kept = path.rename(enc.folder / "kept.json")
    done = enc("migrate")
    assert (done.status, "there is no file" in done.err) == (2, True)
    assert not path.exists()
    assert enc("encryption", "new-key").status == 0
    assert "lacks the master key" in refusal(enc)
    path.unlink()
    assert "this store is encrypted" in refusal(enc, DMP_STORE_ENCRYPTION_KEYS="")
    kept.rename(path)
    assert readable(enc)


def test_a_damaged_key_file_is_told(enc: CommandLine) -> None:
    path = enc.folder / "master.json"
    for content in ("{", "[]", '{"keys": []}', '{"keys": [{"kid": "a", "k": "AAAA"}]}'):
        path.write_text(content, encoding="utf-8")
        assert "restore" in refusal(enc)


def test_a_store_in_clear_is_never_encrypted_in_place(cli: CommandLine) -> None:
    filled(cli)
    key = cli.folder / "late.json"
    assert cli("encryption", "new-key", "--out", key).status == 0
    done = cli("migrate", DMP_STORE_ENCRYPTION_KEYS=str(key))
    assert done.status == 2
    assert "holds data in clear" in done.err
    assert readable(cli)


def test_a_store_in_clear_is_copied_into_an_encrypted_one(cli: CommandLine) -> None:
    with cli.world() as world:
        Dossier.open(world, INS, family="QUENOUILLE")
    before = cli.environ["DMP_STORE_URL"]
    keys, url = cli.folder / "new.json", f"sqlite:///{cli.folder}/new/dmp.sqlite3"
    (cli.folder / "new").mkdir()
    assert cli("encryption", "new-key", "--out", keys).status == 0
    done = cli("copy", "--to", url, "--encryption-keys", keys)
    assert (done.status, done.err) == (0, "")
    assert done.counts["versions"] >= 2
    assert "not empty" in cli("copy", "--to", url, "--encryption-keys", keys).err
    assert "name a new one" in cli("copy", "--to", before).err
    assert dumps.found((INS, "QUENOUILLE"), dumps.of_folder(cli.folder / "new")) == set()
    with cli.world(DMP_STORE_URL=url, DMP_STORE_ENCRYPTION_KEYS=str(keys)) as world:
        assert len(world.admin.get(f"/Patient?identifier={samples.INS}|{INS}").entries) == 1


def test_the_keys_of_the_data_may_lie_in_a_store_of_their_own(enc: CommandLine) -> None:
    filled(enc)
    url = f"sqlite:///{enc.folder}/keys.sqlite3"
    assert "are kept beside the record" in refusal(enc, DMP_STORE_DATA_KEYS_URL=url)
    with opened(enc, "apart", DMP_STORE_DATA_KEYS_URL=url) as store:
        put(store, doc("b", patient="Patient/p2"))
    with opened(enc, "apart", DMP_STORE_DATA_KEYS_URL=url) as store:
        store.ping()
        assert store.read(key("b")) is not None
    assert "are kept in a store of their own" in refusal(enc, "apart")
    assert "names the record's own store" in refusal(enc, DMP_STORE_DATA_KEYS_URL=enc.environ["DMP_STORE_URL"])
    told = refusal(enc, "third", DMP_STORE_DATA_KEYS_URL=url, DMP_STORE_ENCRYPTION_KEYS="")
    assert "set store.encryption_keys too" in told
    assert "store.data_keys_url: unknown scheme 'postgres'" in refusal(enc, DMP_STORE_DATA_KEYS_URL="postgres://x")


def test_the_master_key_is_rotated_in_two_steps(enc: CommandLine) -> None:
    filled(enc)
    (first,) = kids(enc)
    assert enc("encryption", "rotate").status == 0
    second, old = kids(enc)
    assert old == first
    told = enc("encryption", "status").out
    assert f"master key {first}  0 data keys, only unwraps" in told
    with opened(enc) as store:  # a patient who came in between
        put(store, doc("b", patient="Patient/p2"))
    done = enc("encryption", "rotate", "--drop-old")
    assert (done.status, "older master keys removed" in done.out) == (0, True)
    assert kids(enc) == [second]
    assert readable(enc)
    with opened(enc) as store:
        noted = [record.details for _, record in store.audit(AuditQuery(count=5)).records]
    assert noted == [(("keys", f"master {second} alone"),), (("keys", f"master {second}"),)]


def test_a_record_goes_from_an_encrypted_store_to_one_in_clear_and_leaves_no_trace_here(enc: CommandLine) -> None:
    with enc.world() as world:
        dossier = Dossier.open(world, INS, family="QUENOUILLE")
        dossier.authorise()
        dossier.submit(content=TEXT)
    assert enc("check", "--deep").out.count(" ok: ") == 6
    assert enc("reindex").status == 0
    assert enc("audit", "verify").status == 0
    assert dumps.found((INS, "QUENOUILLE", "osteodystrophie"), dumps.of_folder(enc.folder)) == set()
    assert enc("export", "--patient", INS, "--out", "record.zip").status == 0
    clear = {"DMP_STORE_ENCRYPTION_KEYS": ""}
    done = enc("import", "--jobs", 1, "record.zip", store="clear", **clear)
    assert (done.status, done.err) == (0, "")
    with enc.world(store="clear", **clear) as world:
        found = world.admin.get(f"/DocumentReference?patient.identifier={samples.INS}|{INS}&_content=osteo").entries
        url = found[0]["content"][0]["attachment"]["url"]
        binary = "/" + url.removeprefix(world.services.base).lstrip("/")
        assert world.doctor().get(binary).body == TEXT
    assert enc("encryption", "status").out.count("data keys") == 1


def test_the_bytes_of_the_master_key_are_nowhere_in_the_store(enc: CommandLine, tmp_path: Path) -> None:
    filled(enc)
    ((_, secret),) = keyring.master_keys(enc.folder / "master.json")
    for where, data in dumps.of_folder(tmp_path):
        assert secret not in data, where
