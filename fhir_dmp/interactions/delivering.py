"""Sending queued notices: lease, address, compose, send, mark. Many workers may do it at the same time.

A notice is leased before it is sent and settled after; whoever dies in between leaves a lease that runs out, and the
next one sends the same message under the same Message-ID, so that mailboxes recognise it (docs/adr/0041).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256
from itertools import groupby

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import MailRefused, MailUnavailable, RecipientRefused, StoreUnavailable
from fhir_dmp.interactions.preferences import preferences_of
from fhir_dmp.interactions.recipients import Recipient, forget_bounces, note_bounce, recipients_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.telling import COUNT
from fhir_dmp.notices.events import POLICIES, Event, Way, way_of
from fhir_dmp.notices.messages import Item, Words
from fhir_dmp.notices.schedule import day_of, digest_ms, pause_ms
from fhir_dmp.ports import Mailer, Queued, StateRecord

_LOG = logging.getLogger("fhir_dmp")

#: How long a worker may take to send what it leased: longer than the mail server's timeouts together.
LEASE_MS = 300_000
#: Notices taken up in one round.
ROUND = 200
#: Tries after which a message that the server refuses for good is given up; it stays in the inbox.
MOST_REFUSALS = 8
#: How long it is remembered that a mail server took a message.
TAKEN_MS = 30 * 86_400_000
_TAKEN = "notice-taken"
SENT, INBOX_ONLY, DIGESTED = "sent", "inbox", "digest"


@dataclass(slots=True)
class Round:
    """What one round did: messages sent, notices put off to a later try, notices settled without a message."""

    sent: int = 0
    deferred: int = 0
    silent: int = 0

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.sent or self.deferred or self.silent)


def deliver(services: Services, mailer: Mailer, sender: str) -> Round:
    """Send what is due now; return what was done. Failures are put off, never raised, but for the store's own.

    Raises:
        StoreUnavailable: the store does not answer; leases run out, and nothing is lost.
    """
    done = Round()
    due = services.store.outbox.due(services.clock.now_ms(), ROUND)
    for group in _groups(due, services):
        _deliver_group(group, services, mailer, sender, done)
    return done


def _groups(due: Sequence[Queued], services: Services) -> Iterator[list[Queued]]:
    """Yield what goes into one message: what a digest collects by patient, the rest one by one."""
    together = [each for each in due if _is_collected(each, services)]
    for each in due:
        if each not in together:
            yield [each]
    together.sort(key=lambda one: one.notice.patient)
    for _, group in groupby(together, key=lambda one: one.notice.patient):
        yield list(group)


def _is_collected(one: Queued, services: Services) -> bool:
    """Say whether a notice goes with others: its event is told by digest, or it was one too many for its day."""
    event = Event(one.notice.event)
    if POLICIES[event].mandatory:
        return False
    put_off = one.attempts == 0 and one.due_ms > one.notice.created_ms
    return put_off or way_of(event, preferences_of(one.notice.patient, services)) is Way.DIGEST


def _deliver_group(group: list[Queued], services: Services, mailer: Mailer, sender: str, done: Round) -> None:
    now = services.clock.now_ms()
    outbox = services.store.outbox
    mine = [each for each in group if outbox.lease(each.notice.id, each.attempts, now, now + LEASE_MS)]
    kept = [each for each in mine if not _silenced(each, services, done)]
    if not kept:
        return
    later = _later(kept, services)
    if later:
        for each in kept:
            # The count of tries goes up so that a lease on the old one cannot be taken; a digest starts over at 0.
            outbox.defer(each.notice.id, later, 0)
            done.deferred += 1
        return
    _send(kept, services, mailer, sender, done)


def _silenced(one: Queued, services: Services, done: Round) -> bool:
    """Settle a notice that nobody is told of by mail, and say whether it was one."""
    way = way_of(Event(one.notice.event), preferences_of(one.notice.patient, services))
    silence = "preference" if way is Way.OFF else recipients_of(one.notice, services).silence
    if not silence:
        return False
    services.store.outbox.settle(one.notice.id, INBOX_ONLY if silence == "no-address" else silence, _now(services))
    done.silent += 1
    return True


def _now(services: Services) -> int:
    return services.clock.now_ms()


def _later(kept: Sequence[Queued], services: Services) -> int:
    """Return when to send instead, 0 for now: a digest a day, so many immediate messages; what is mandatory, now."""
    now, settings = _now(services), services.settings.notices
    first = kept[0]
    if POLICIES[Event(first.notice.event)].mandatory:
        return 0
    today = day_of(now, services.zone)
    recent = services.store.outbox.inbox(first.notice.patient, 100)
    sent = [one.outcome for one in recent if one.done_ms is not None and day_of(one.done_ms, services.zone) == today]
    if _is_collected(first, services):
        early = any(each.attempts == 0 and each.due_ms <= each.notice.created_ms for each in kept)
        full = early or DIGESTED in sent
    else:
        full = sent.count(SENT) >= settings.most_at_once
    return digest_ms(now, settings.digest_hour, services.zone) if full else 0


def _send(kept: Sequence[Queued], services: Services, mailer: Mailer, sender: str, done: Round) -> None:
    outbox = services.store.outbox
    attempts = max(each.attempts for each in kept) + 1
    try:
        for recipient in recipients_of(kept[0].notice, services).recipients:
            _send_once(message(kept, recipient, services, sender), mailer, services, done)
            forget_bounces(recipient.address, services)
    except RecipientRefused as error:
        note_bounce(recipient.address, services)
        _put_off(kept, attempts, error, services, done)
    except MailRefused as error:
        if attempts < MOST_REFUSALS:
            _put_off(kept, attempts, error, services, done)
            return
        _LOG.error("a notice is refused again and again, and stays in the inbox: %s", error)
        for each in kept:
            outbox.settle(each.notice.id, "refused", _now(services))
            done.silent += 1
    except MailUnavailable as error:
        _put_off(kept, attempts, error, services, done)
    else:
        _note(kept, services)
        outcome = DIGESTED if _is_collected(kept[0], services) else SENT
        for each in kept:
            outbox.settle(each.notice.id, outcome, _now(services))


def _send_once(mail: EmailMessage, mailer: Mailer, services: Services, done: Round) -> None:
    """Send a message unless a mail server took it already: another recipient's failure must not repeat it."""
    name = str(mail["Message-ID"])
    if services.store.state.get(_TAKEN, name, _now(services)) is None:
        mailer.send(mail)
        services.store.state.put(StateRecord(_TAKEN, name, "1", _now(services) + TAKEN_MS), _now(services))
        done.sent += 1


def _put_off(
    kept: Sequence[Queued], attempts: int, error: MailRefused | MailUnavailable, services: Services, done: Round
) -> None:
    _LOG.warning("a notice waits for another try (%d so far): %s", attempts, error)
    due = _now(services) + pause_ms(attempts)
    for each in kept:
        services.store.outbox.defer(each.notice.id, due, attempts)
        done.deferred += 1


def _note(kept: Sequence[Queued], services: Services) -> None:
    """Leave a trace of the message: whose record, which events; no address."""
    first = kept[0].notice
    record = AuditRecord(
        id=services.ids.resource(first.patient),
        kind="notified",
        recorded_ms=_now(services),
        patient=first.patient,
        client="fhir-dmp",
        details=tuple(("event", each.notice.event) for each in kept),
    )
    try:
        services.trail((record,))
    except StoreUnavailable:
        # The message has left: it must be marked as sent, or it is sent twice.
        _LOG.exception("the trace of a sent notice could not be written")


def message(kept: Sequence[Queued], recipient: Recipient, services: Services, sender: str) -> EmailMessage:
    """Return the mail that tells these notices: multipart text and HTML, nothing to answer, no tracking."""
    words = services.messages.compose(recipient.language, recipient.first_name, items(kept))
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = recipient.address
    mail["Subject"] = words.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(_now(services) / 1000, UTC))
    mail["Message-ID"] = message_id(kept, recipient, sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = words.language
    _fill(mail, words)
    return mail


def _fill(mail: EmailMessage, words: Words) -> None:
    mail.set_content(words.text)
    mail.add_alternative(words.html, subtype="html")


def message_id(kept: Sequence[Queued], recipient: Recipient, sender: str) -> str:
    """Return the Message-ID: the same notices to the same address always have the same one."""
    told = "|".join(sorted(each.notice.id for each in kept))
    host = sender.rpartition("@")[2].strip("> ") or "localhost"
    return f"<{sha256(f'{told}|{recipient.address}'.encode()).hexdigest()[:40]}@{host}>"


def items(kept: Sequence[Queued]) -> list[Item]:
    """Return the lines of a message: one for each event, with counts."""
    found: list[Item] = []
    for event in Event:
        of_event = [each.notice for each in kept if each.notice.event == event]
        if of_event:
            count = sum(int(dict(each.variables).get(COUNT, "1")) for each in of_event)
            found.append(Item(event, count, max(each.created_ms for each in of_event)))
    return found
