"""What people are told of their record: queued with its cause, sent to a real mail server, never twice, never much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import pytest

from fhir_dmp.identity.accounts import Account, AccountClass, Profile, SecondFactor, to_json
from fhir_dmp.identity.caller import Actor, Mode
from fhir_dmp.interactions import delivering, preferences
from fhir_dmp.interactions.delivering import deliver
from fhir_dmp.interactions.told import Told
from fhir_dmp.mail.smtp import smtp_of
from fhir_dmp.notices.events import Event, Way
from fhir_dmp.notices.schedule import DAY_MS
from fhir_dmp.ports import Commit, StateRecord
from tests import samples
from tests.flows.acts import call, done, motive
from tests.flows.steps import Dossier, next_ins, next_oid
from tests.mail.server import Mailbox, running
from tests.world import World

SENDER = "Dossier <ne-pas-repondre@dmp.example>"
TITLE = "Compte rendu de cancérologie"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with running() as box:
        yield box


@pytest.fixture
def reachable(world: World) -> Dossier:
    """A dossier whose holder has an address, with nothing left to tell."""
    return reachable_in(world)


def reachable_in(world: World, **more: Any) -> Dossier:
    ins = next_ins()
    telecom = [{"system": "email", "value": f"anouk.{ins}@example.org"}]
    dossier = Dossier.open(world, ins, **{"telecom": telecom, **more})
    world.authorise(ins)
    for each in queued(dossier):
        outbox = world.services.store.outbox
        assert outbox.lease(each, 0, world.clock.time_ms, world.clock.time_ms + 1)
        outbox.settle(each, "forgotten", world.clock.time_ms - 2 * DAY_MS)
    return dossier


def queued(dossier: Dossier) -> list[str]:
    """Return the ids of what waits for the holder, oldest first."""
    inbox = dossier.world.services.store.outbox.inbox(f"Patient/{dossier.id}", 99)
    return [each.notice.id for each in reversed(inbox) if each.done_ms is None]


def events(dossier: Dossier) -> list[str]:
    return [each.partition("-")[0] for each in queued(dossier)]


def send(world: World, box: Mailbox, rounds: int = 1) -> None:
    for _ in range(rounds):
        deliver(world.services, smtp_of(f"smtp://127.0.0.1:{box.port}"), SENDER)


def received(box: Mailbox, dossier: Dossier) -> list[EmailMessage]:
    return [each for each in box.messages if dossier.ins in str(each["To"])]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def later(world: World, ms: int) -> None:
    world.clock.time_ms += ms


def test_a_first_access_is_told_once_and_later_ones_by_the_day(reachable: Dossier) -> None:
    doctor = reachable.world.doctor()
    for _ in range(3):
        assert doctor.get(f"/DocumentReference?{reachable.criterion}").status == 200
    assert events(reachable) == ["N3", "N4"]
    later(reachable.world, DAY_MS)
    assert doctor.get(f"/DocumentReference?{reachable.criterion}").status == 200
    assert events(reachable) == ["N3", "N4", "N4"]


def test_what_was_told_is_known_to_every_worker(reachable: Dossier) -> None:
    reachable.world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    again = replace(reachable.world.services, told=Told())
    World(again, reachable.world.clock).doctor().get(f"/DocumentReference?{reachable.criterion}")
    assert events(reachable) == ["N3", "N4"]


def test_a_refused_access_and_a_question_of_existence_are_no_accesses(reachable: Dossier) -> None:
    stranger = reachable.world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    assert stranger.get(f"/DocumentReference?{reachable.criterion}").status == 403
    assert stranger.get(f"/Patient?identifier={samples.INS}|{reachable.ins}").status == 200
    assert reachable.holder.get(f"/DocumentReference?{reachable.criterion}").status == 200
    assert events(reachable) == []


@pytest.mark.statement("security N-1", "security N-3")
def test_an_emergency_access_is_told_at_once_without_a_word_of_the_record(reachable: Dossier, mailbox: Mailbox) -> None:
    reachable.submit(description=TITLE)
    world = reachable.world
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="patient inconscient")
    assert urgent.get(f"/DocumentReference?{reachable.criterion}").status == 200
    assert urgent.get(f"/DocumentReference?{reachable.criterion}").status == 200
    assert events(reachable).count("N1") == 1
    send(world, mailbox)
    (mail,) = received(mailbox, reachable)
    assert "en urgence" in text_of(mail)
    whole = mail.as_string()
    for secret in (
        reachable.ins[:13],
        TITLE,
        "CARLIER",
        samples.OTHER_DOCTOR,
        samples.CLINIC,
        "inconscient",
        "Patient/",
    ):
        assert secret not in text_of(mail)
        assert secret not in str(mail["Subject"])
    assert "image" not in whole
    assert not list(mail.iter_attachments())


def test_the_trace_of_a_message_tells_the_event_and_no_address(reachable: Dossier, mailbox: Mailbox) -> None:
    reachable.world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    send(reachable.world, mailbox)
    trail = reachable.world.admin.get(f"/AuditEvent?patient=Patient/{reachable.id}").entries
    sent = [each for each in trail if any(one.get("code") == "notified" for one in each["subtype"])]
    assert len(sent) == 1
    assert "example.org" not in str(sent)


@pytest.mark.statement("security N-4")
def test_documents_are_told_once_a_day_in_one_message(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    for _ in range(3):
        reachable.submit()
    assert events(reachable) == ["N5", "N5", "N5"]
    send(world, mailbox)
    assert received(mailbox, reachable) == []
    later(world, DAY_MS)
    send(world, mailbox)
    (mail,) = received(mailbox, reachable)
    assert "3 documents" in text_of(mail)
    reachable.submit()
    outbox = world.services.store.outbox
    (fourth,) = [each for each in outbox.inbox(f"Patient/{reachable.id}", 9) if each.done_ms is None]
    world.clock.time_ms = max(world.clock.time_ms, fourth.due_ms - 1000)
    send(world, mailbox, 2)
    later(world, 2 * DAY_MS)
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 2
    days = [str(each["Date"])[:16] for each in received(mailbox, reachable)]
    assert len(set(days)) == 2


def test_a_document_hidden_from_the_patient_is_not_told_before_it_is_shown(reachable: Dossier) -> None:
    hidden = reachable.submit(labels=((samples.VISIBILITY, "INVISIBLE_PATIENT"), (samples.CONFIDENTIALITY, "N")))
    assert events(reachable) == []
    shown = [{"op": "replace", "path": "/securityLabel", "value": [
        {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}]}]  # fmt: skip
    assert reachable.world.doctor().patch(f"/DocumentReference/{hidden}", shown).status == 200
    assert events(reachable) == ["N6"]


def test_own_deposits_are_not_told_and_masked_ones_are(reachable: Dossier) -> None:
    reachable.submit(labels=((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N")))
    assert events(reachable) == ["N5"]


def test_changes_of_rights_and_of_the_dossier_are_told(reachable: Dossier) -> None:
    world = reachable.world
    blocked = [samples.consent_actor(samples.OTHER_DOCTOR)]
    world.consent(reachable.ins, "block", deny=True, actor=blocked)
    assert events(reachable) == ["N7"]
    done(call(reachable.holder, reachable, "dmp-fermer", motif=motive()))
    assert events(reachable) == ["N7", "N10"]


@pytest.mark.statement("security N-12")
def test_a_closed_dossier_tells_nothing_but_its_closing(reachable: Dossier, mailbox: Mailbox) -> None:
    test_changes_of_rights_and_of_the_dossier_are_told(reachable)
    send(reachable.world, mailbox)
    (mail,) = received(mailbox, reachable)
    assert "l'état de votre dossier" in text_of(mail)
    assert queued(reachable) == []


@pytest.mark.statement("security N-5")
def test_what_a_minor_keeps_secret_is_not_told_to_the_representatives(world: World, mailbox: Mailbox) -> None:
    minor = reachable_in(world, birthDate="2009-03-04", telecom=[{"system": "email", "value": "enfant@example.org"}])
    parent = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": f"Patient/{minor.id}"},
        "active": True,
        "name": [{"given": ["Odile"], "family": "BELLANGER"}],
        "telecom": [{"system": "email", "value": f"odile.{minor.ins}@example.org"}],
    }
    assert world.admin.post("/RelatedPerson", parent).status == 201
    send(world, mailbox)
    mailbox.messages.clear()
    secret = ((samples.VISIBILITY, "INVISIBLE_REPRESENTANTS_LEGAUX"), (samples.CONFIDENTIALITY, "N"))
    minor.submit(labels=secret)
    assert world.doctor(secret=True).get(f"/DocumentReference?{minor.criterion}").status == 200
    assert sorted(events(minor)) == ["N3", "N5"]
    later(world, 2 * DAY_MS)
    send(world, mailbox)
    assert received(mailbox, minor) == []
    assert queued(minor) == []
    minor.submit()
    later(world, 2 * DAY_MS)
    send(world, mailbox)
    (mail,) = received(mailbox, minor)
    assert "Odile" in text_of(mail)
    assert "enfant@example.org" not in mailbox.recipients


@pytest.mark.statement("security N-11")
def test_each_event_has_its_own_preference(reachable: Dossier, mailbox: Mailbox) -> None:
    world, patient = reachable.world, f"Patient/{reachable.id}"
    preferences.choose(patient, {Event.FIRST_ACCESS: Way.OFF}, world.services)
    preferences.choose(patient, {Event.DOCUMENT_ADDED: Way.AT_ONCE}, world.services)
    assert preferences.preferences_of(patient, world.services) == {
        Event.FIRST_ACCESS: Way.OFF, Event.DOCUMENT_ADDED: Way.AT_ONCE,
    }  # fmt: skip
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    send(world, mailbox)
    assert received(mailbox, reachable) == []
    assert queued(reachable) == []


@pytest.mark.statement("security N-8")
def test_a_mail_server_that_fails_delays_messages_and_nothing_else(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    mailbox.answers += ["451 try later", "451 try later"]
    assert world.doctor().get(f"/DocumentReference?{reachable.criterion}").status == 200
    send(world, mailbox)
    assert world.doctor().get(f"/DocumentReference?{reachable.criterion}").status == 200
    send(world, mailbox)
    assert received(mailbox, reachable) == []
    later(world, 60_000)
    send(world, mailbox)
    later(world, 60_000)
    send(world, mailbox)
    assert received(mailbox, reachable) == []  # after the second failure it waits for two minutes
    later(world, 60_000)
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 1


def test_no_mail_server_at_all_loses_nothing(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    deliver(world.services, smtp_of("smtp://127.0.0.1:1"), SENDER)
    later(world, 60_001)
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 1


@pytest.mark.statement("security N-7")
def test_a_message_whose_answer_was_lost_comes_again_under_the_same_name(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    mailbox.answers.append("break")
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    send(world, mailbox)
    later(world, 60_001)
    send(world, mailbox)
    assert len({str(each["Message-ID"]) for each in received(mailbox, reachable)}) == 1
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 2
    inbox = world.services.store.outbox.inbox(f"Patient/{reachable.id}", 9)
    assert [each.notice.event for each in inbox if each.outcome == "sent"] == ["N3"]


@pytest.mark.statement("security N-7")
def test_many_workers_send_each_message_once(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    for number in range(8):
        world.consent(reachable.ins, "block", deny=True, actor=[samples.consent_actor(f"8997002189{number:02d}")])
    mailer = smtp_of(f"smtp://127.0.0.1:{mailbox.port}")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deliver(world.services, mailer, SENDER), range(4)))
    names = [str(each["Message-ID"]) for each in received(mailbox, reachable)]
    assert len(names) == len(set(names)) == 8


@pytest.mark.statement("security N-7")
def test_a_worker_that_dies_before_it_marks_a_message_does_not_repeat_it(
    reachable: Dossier, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = reachable.world
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(delivering, "_note", dies)
    with pytest.raises(KeyboardInterrupt):
        send(world, mailbox)
    monkeypatch.undo()
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 1  # the lease holds
    later(world, delivering.LEASE_MS + 1)
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 1
    assert queued(reachable) == []


def test_an_address_that_bounces_three_times_is_not_written_to_again(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    address = f"anouk.{reachable.ins}@example.org"
    mailbox.refusals[address] = "550 no such mailbox"
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    for _ in range(4):
        send(world, mailbox)
        later(world, DAY_MS)
    assert queued(reachable) == [] or events(reachable) == ["N4"]
    outcomes = {
        each.notice.event: each.outcome for each in world.services.store.outbox.inbox(f"Patient/{reachable.id}", 9)
    }
    assert outcomes["N3"] == "inbox"
    assert received(mailbox, reachable) == []


def test_a_lasting_refusal_of_the_message_does_not_condemn_the_address(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    mailbox.answers += ["554 not today"] * 3
    world.doctor().get(f"/DocumentReference?{reachable.criterion}")
    for _ in range(4):
        send(world, mailbox)
        later(world, 600_000)
    assert len(received(mailbox, reachable)) == 1


def test_too_many_messages_in_a_day_wait_for_the_digest(reachable: Dossier, mailbox: Mailbox) -> None:
    world = reachable.world
    for number in range(13):
        world.consent(reachable.ins, "block", deny=True, actor=[samples.consent_actor(f"8997002188{number:02d}")])
        send(world, mailbox)
    assert len(received(mailbox, reachable)) == 10
    later(world, DAY_MS)
    send(world, mailbox)
    assert len(received(mailbox, reachable)) == 11
    assert queued(reachable) == []


def test_a_holder_without_address_in_the_record_is_told_at_the_one_of_the_account(
    world: World, mailbox: Mailbox
) -> None:
    dossier = reachable_in(world, telecom=[{"system": "phone", "value": "+33 1 99 00 12 34"}])
    account = Account(
        id=f"account-{dossier.id}", login=dossier.ins, kind=AccountClass.PATIENT, subject=f"sub-{dossier.id}",
        password="", second=SecondFactor.EMAIL, email=f"compte.{dossier.ins}@example.org",
        profiles=(Profile(Actor.PATIENT, dossier.id, "Anouk", "Patient/x"),),
    )  # fmt: skip
    kept = StateRecord("account", account.id, json.dumps(to_json(account)), tags=(f"patient:{dossier.id}",))
    world.services.store.state.put(kept, world.clock.time_ms)
    world.doctor().get(f"/DocumentReference?{dossier.criterion}")
    send(world, mailbox)
    assert mailbox.recipients == [account.email]


@pytest.mark.statement("security N-10")
@pytest.mark.parametrize(
    "address",
    ["a@b.example\r\nBcc: x@evil.example", "a@b.example, x@evil.example", "<x@evil.example>", "a b@c.example", "a@b"],
)
def test_an_address_that_is_none_is_not_written_to(world: World, mailbox: Mailbox, address: str) -> None:
    dossier = reachable_in(world)
    patient = world.admin.get(f"/Patient/{dossier.id}").json
    patient["telecom"] = [{"system": "email", "value": address}]
    answer = world.admin.put(f"/Patient/{dossier.id}", patient)
    assert answer.status in (200, 400, 422)
    if answer.status == 200:
        world.doctor().get(f"/DocumentReference?{dossier.criterion}")
        send(world, mailbox)
        assert mailbox.recipients == []


def test_a_notice_and_its_cause_are_one_commit(reachable: Dossier, monkeypatch: pytest.MonkeyPatch) -> None:
    world = reachable.world
    seen: list[Commit] = []
    store = world.services.store
    real = store.commit

    def watched(commit: Commit) -> object:
        seen.append(commit)
        return real(commit)

    monkeypatch.setattr(store, "commit", watched)
    reachable.submit(next_oid())
    (commit,) = [each for each in seen if each.writes]
    assert [each.event for each in commit.notices] == ["N5"]
    assert commit.audit
