"""Two callers change the same document, or the same dossier, at the same moment, over sockets. [dmp-fhir 3.3, 3.7]"""

from __future__ import annotations

from functools import partial

import pytest

from tests import samples
from tests.flows.acts import motive, parameters
from tests.flows.steps import Dossier, next_content, next_ins, next_oid, publication
from tests.flows.submissions import ids, submission
from tests.flows.test_replacement import at, replacement, to
from tests.flows.wire import listening, send, together
from tests.world import Response, World


@pytest.fixture
def rounds(store_kind: str) -> range:
    """How often a race is run: each has another winner, and costs seconds on the wire."""
    return range(3 if store_kind == "sqlite" else 1)


def successors(dossier: Dossier, id_: str) -> list[str]:
    """Return the ids of the documents that replace one."""
    return dossier.found(dossier.holder, f"relatesto=DocumentReference/{id_}")


@pytest.mark.statement("dmp-fhir 9.6/93")
def test_of_two_replacements_one_wins_and_the_other_learns_the_current_id(world: World, rounds: range) -> None:
    dossier = Dossier.open(world, next_ins())
    with listening(world) as port:
        for _ in rounds:
            old = dossier.submit(content=next_content())
            bodies = [replacement(dossier, at(old)) for _ in range(2)]
            answers = together([partial(send, port, world.doctor(), "POST", "", body) for body in bodies])
            assert sorted(answer.status for answer in answers) == [200, 409], [each.body for each in answers]
            won, lost = sorted(answers, key=lambda answer: answer.status)
            new = ids(won)[1].split("/")[1]
            assert "cible-deja-remplacee" in lost.codes
            assert new in lost.body.decode()
            assert successors(dossier, old) == [new]
            assert dossier.read(old)["meta"]["versionId"] == "2"


@pytest.mark.statement("dmp-fhir 9.6/98")
def test_a_submission_and_a_publication_that_replace_one_document_do_not_both_win(world: World, rounds: range) -> None:
    dossier = Dossier.open(world, next_ins())
    with listening(world) as port:
        for _ in rounds:
            old = dossier.submit(content=next_content())
            published = publication(next_oid(), ins=dossier.ins, content=next_content(), relatesTo=to(at(old)))
            answers = together(
                [
                    partial(send, port, world.doctor(), "POST", "", replacement(dossier, at(old))),
                    partial(send, port, world.doctor(), "POST", "/DocumentReference", published),
                ]
            )
            assert [answer.status for answer in answers] in ([200, 409], [409, 201])
            assert len(successors(dossier, old)) == 1


def test_a_mask_and_a_replacement_at_once_lose_nothing(world: World) -> None:
    mask = [{"op": "add", "path": "/securityLabel/-", "value": {"coding": [_label("MASQUE_PS")]}}]
    dossier = Dossier.open(world, next_ins())
    with listening(world) as port:
        old = dossier.submit(content=next_content())
        patched, replaced = together(
            [
                partial(send, port, world.doctor(), "PATCH", f"/DocumentReference/{old}", mask),
                partial(send, port, world.doctor(), "POST", "", replacement(dossier, at(old))),
            ]
        )
    stored = dossier.read(old)
    assert {patched.status, replaced.status} <= {200, 409}, (patched.body, replaced.body)
    assert (stored["status"] == "superseded") == (replaced.status == 200)
    assert ("MASQUE_PS" in str(stored["securityLabel"])) == (patched.status == 200)


def test_a_closing_and_a_submission_at_once_are_in_some_order(world: World, rounds: range) -> None:
    for _ in rounds:
        dossier = Dossier.open(world, next_ins())
        with listening(world) as port:
            closed, fed = together(
                [
                    partial(
                        send,
                        port,
                        world.doctor(),
                        "POST",
                        f"/Patient/{dossier.id}/$dmp-fermer",
                        parameters(motif=motive()),
                    ),
                    partial(send, port, world.doctor(), "POST", "", submission(dossier)),
                ]
            )
        assert fed.status in (200, 409, 422), fed.body
        assert closed.status in (200, 409), closed.body
        assert not (fed.status == 422 and closed.status == 409)
        stored = world.admin.get(f"/DocumentReference?patient=Patient/{dossier.id}").json["total"]
        assert stored == (1 if fed.status == 200 else 0)


def _label(code: str) -> dict[str, str]:
    return {"system": samples.VISIBILITY, "code": code}


@pytest.mark.statement("dmp-fhir 9.2/25")
def test_an_opening_asked_twice_at_once_is_one_dossier(world: World, rounds: range) -> None:
    with listening(world) as port:
        for _ in rounds:
            ins = next_ins()
            body = samples.opening(samples.patient(ins))
            send_it = partial(send, port, world.doctor(), "POST", "/Patient/$dmp-ouvrir", body)
            answers: list[Response] = together([send_it, send_it])
            assert {answer.status for answer in answers} <= {200, 409}, [each.body for each in answers]
            assert 200 in {answer.status for answer in answers}
            found = world.admin.get(f"/Patient?identifier={samples.INS}|{ins}").entries
            assert len(found) == 1
            openings = world.admin.get(f"/Consent?patient=Patient/{found[0]['id']}&category=dmp-opening").entries
            assert len(openings) == 1
