"""Real FHIR clients against a real socket: create, read, search, page, update, patch, transaction, delete."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.rest.conftest import opened
from tests.rest.shapes import SYSTEM, bundle, entry, observation, organization, patient
from tests.world import World

pytestmark = pytest.mark.slow


@dataclass
class Running:
    """A server on a port of this machine."""

    world: World
    base: str

    @property
    def token(self) -> str:
        """A token of the operator."""
        found = self.world.admin.token
        assert found is not None
        return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """The real application on a real port, over SQLite."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for world in opened("sqlite", tmp_path, DMP_SERVER_PORT=str(port)):
        server = make_server("127.0.0.1", port, world.app, threaded=True)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Running(world, f"http://127.0.0.1:{port}/fhir")
        server.shutdown()
        thread.join(10)
        server.server_close()


class TestFhirpy:
    """https://github.com/beda-software/fhir-py"""

    @pytest.fixture
    def client(self, running: Running) -> Any:
        """A client with the operator's token."""
        fhirpy = pytest.importorskip("fhirpy", reason="fhirpy is not installed")
        return fhirpy.SyncFHIRClient(running.base, authorization=f"Bearer {running.token}")

    def test_a_resource_lives(self, client: Any) -> None:
        import fhirpy.base.exceptions as errors

        one = client.resource("Patient", name=[{"family": "ESSAI", "given": ["Zoé"]}])
        one.save()
        assert one["meta"]["versionId"] == "1"
        one["birthDate"] = "1990-01-02"
        one.save()
        assert one["meta"]["versionId"] == "2"
        again = client.reference("Patient", one.id).to_resource()
        assert again["birthDate"] == "1990-01-02"
        with pytest.raises(errors.OperationOutcome):  # it patches by application/merge-patch+json, which R4 has not
            again.patch(gender="female")
        team = client.resource("Organization", name="Équipe")
        team.save()
        team.delete()
        with pytest.raises(errors.ResourceNotFound):
            client.reference("Organization", team.id).to_resource()
        with pytest.raises(errors.OperationOutcome):
            client.resource("Patient", gender="autre").save()

    def test_searches_pages_and_includes(self, client: Any) -> None:
        owner = client.resource("Patient", **patient("MALADE", number="A-1"))
        owner.save()
        for number in range(7):
            client.resource("Observation", **observation(f"Patient/{owner.id}", f"c{number}")).save()
        found = client.resources("Observation").search(subject=f"Patient/{owner.id}").sort("code").limit(3)
        assert len(found.fetch()) == 3
        assert [each["code"]["coding"][0]["code"] for each in found.fetch_all()] == [f"c{n}" for n in range(7)]
        assert client.resources("Observation").search(subject__Patient__family="malade").count() == 7
        one = client.resources("Patient").search(identifier=f"{SYSTEM}|A-1").get()
        assert one.id == owner.id
        both = client.resources("Observation").search(code="c3").include("Observation", "subject").fetch_raw()
        assert {each.resource.resource_type for each in both.entry} == {"Observation", "Patient"}
        assert client.resources("Patient").search(family__exact="PERSONNE").first() is None

    def test_conditional_interactions(self, client: Any) -> None:
        import fhirpy.base.exceptions as errors

        wanted = client.resources("Patient").search(identifier=f"{SYSTEM}|A-1")
        one, created = wanted.update(client.resource("Patient", **patient(number="A-1")))
        assert created
        two, created = wanted.update(client.resource("Patient", **patient("DEUX", number="A-1")))
        assert (two.id, created, two["name"][0]["family"]) == (one.id, False, "DEUX")
        with pytest.raises(errors.OperationOutcome, match="If-None-Exist"):  # criteria where R4 has none
            wanted.get_or_create(client.resource("Patient", **patient("TROIS", number="A-1")))
        assert wanted.count() == 1

    def test_a_transaction(self, client: Any) -> None:
        name = "urn:uuid:00000000-0000-4000-8000-000000000001"
        sent = bundle(
            "transaction",
            entry("POST", "Patient", patient("NEUF"), name),
            entry("POST", "Observation", observation(name)),
        )
        answer = client.execute("", method="post", data=sent)
        assert [each["response"]["status"] for each in answer["entry"]] == ["201 Created", "201 Created"]
        assert client.resources("Observation").search(subject__Patient__family="neuf").count() == 1

    def test_the_asynchronous_client(self, running: Running) -> None:
        import asyncio

        fhirpy = pytest.importorskip("fhirpy", reason="fhirpy is not installed")

        async def flow() -> int:
            client = fhirpy.AsyncFHIRClient(running.base, authorization=f"Bearer {running.token}")
            await asyncio.gather(
                *(client.resource("Organization", **organization(f"Site {n}")).save() for n in range(8))
            )
            found: int = await client.resources("Organization").search(name="site").count()
            return found

        assert asyncio.run(flow()) == 8


class TestFhirclient:
    """https://github.com/smart-on-fhir/client-py"""

    @pytest.fixture
    def server(self, running: Running) -> Any:
        """A server object whose session carries the operator's token."""
        library = pytest.importorskip("fhirclient.client", reason="fhirclient is not installed")
        server = library.FHIRClient(settings={"app_id": "test", "api_base": running.base}).server
        server.session.headers["Authorization"] = f"Bearer {running.token}"
        return server

    def test_a_resource_lives(self, server: Any) -> None:
        from fhirclient.models import organization as organizations
        from fhirclient.server import FHIRNotFoundException

        one = organizations.Organization(organization("Centre"))
        created = one.create(server)
        assert created["id"]
        read = organizations.Organization.read(created["id"], server)
        assert read.name == "Centre"
        read.name = "Centre 2"
        assert read.update(server)["meta"]["versionId"] == "2"
        assert organizations.Organization.read(created["id"], server).name == "Centre 2"
        read.delete()
        with pytest.raises(Exception) as gone:  # noqa: PT011  # the library has no type for 410
            organizations.Organization.read(created["id"], server)
        assert "410" in str(gone.value) or isinstance(gone.value, FHIRNotFoundException)

    def test_searches_and_pages(self, server: Any) -> None:
        from fhirclient.models import patient as patients

        for number in range(7):
            patients.Patient(patient(f"PAGE{number}", number=f"P-{number}")).create(server)
        search = patients.Patient.where(struct={"family": "page", "_count": "3", "_sort": "family"})
        everybody = [each.name[0].family for each in search.perform_resources_iter(server)]
        assert everybody == [f"PAGE{number}" for number in range(7)]
        one = patients.Patient.where(struct={"identifier": f"{SYSTEM}|P-4"}).perform_resources_iter(server)
        assert [each.name[0].family for each in one] == ["PAGE4"]

    def test_a_transaction(self, server: Any) -> None:
        from fhirclient.models import bundle as bundles

        sent = bundles.Bundle(bundle("transaction", entry("POST", "Patient", patient("LOT"))))
        answer = bundles.Bundle(server.post_json("", sent.as_json()).json())
        assert answer.entry[0].response.status == "201 Created"

    def test_the_capability_statement_reads(self, server: Any) -> None:
        statement = server.request_json("metadata")
        from fhirclient.models import capabilitystatement

        assert capabilitystatement.CapabilityStatement(statement).fhirVersion == "4.0.1"


KIT = Path(__file__).parent.parent / "files" / "fhir-kit"


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fhir-kit-client, installed as its lock file says; a skip where there is no node or no package."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("kit") / "fhir-kit"
    shutil.copytree(KIT, folder)
    quick = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
    done = subprocess.run(["npm", "ci", *quick], cwd=folder, capture_output=True, timeout=90, check=False)
    if done.returncode != 0:
        pytest.skip("fhir-kit-client cannot be installed: npm reaches no registry")
    return folder


class TestFhirKitClient:
    """https://github.com/Vermonster/fhir-kit-client"""

    def test_an_application_lives(self, running: Running, kit: Path) -> None:
        environ = {**os.environ, "DMP_BASE": running.base, "DMP_TOKEN": running.token}
        done = subprocess.run(
            ["node", "flow.js"], cwd=kit, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "created": ["1", "Zoé"],
            "read": "1990-01-02",
            "updated": ["2", "female"],
            "patched": ["3", "1991-01-02"],
            "vread": "1990-01-02",
            "history": ["3", "2", "1"],
            "pages": [["c0", "c1", "c2"], ["c3", "c4", "c5"], ["c6"]],
            "included": [["Observation", "match"], ["Patient", "include"]],
            "compartment": 1,
            "transaction": ["201 Created", "201 Created"],
            "everything": 8,
            "missing": 404,
            "refused": 422,
            "inUse": 409,
            "deleted": 200,
            "gone": 410,
            "version": "4.0.1",
        }
