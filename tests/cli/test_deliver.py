"""`fhir-dmp deliver`, as a command and as a process that is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import samples
from tests.benchmarks.processes import COMMAND, environment
from tests.cli.calling import CommandLine
from tests.mail.server import Mailbox, running


@pytest.fixture
def told(cli: CommandLine) -> CommandLine:
    """A record whose opening waits to be told to its holder."""
    with cli.world() as world:
        world.open(telecom=[{"system": "email", "value": "anouk@example.org"}])
    return cli


def url(box: Mailbox) -> str:
    return f"smtp://127.0.0.1:{box.port}"


def test_what_waits_is_sent_once_and_counted(told: CommandLine) -> None:
    with running() as box:
        first = told("deliver", "--once", DMP_MAIL_SMTP_URL=url(box), DMP_NOTICES_PORTAL_URL="https://portail.example")
        assert (first.status, first.out) == (0, "1 sent, 0 put off, 0 without mail\n")
        again = told("deliver", "--once", DMP_MAIL_SMTP_URL=url(box))
        assert (again.status, again.out) == (0, "0 sent, 0 put off, 0 without mail\n")
    (mail,) = box.messages
    assert mail["To"] == "anouk@example.org"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "https://portail.example" in body.get_content()


def test_without_a_mail_server_the_command_says_what_waits(told: CommandLine) -> None:
    done = told("deliver", "--once")
    assert done.status == 2
    assert "mail.smtp_url" in done.err
    assert "1 notices wait" in done.err


def test_a_mail_server_that_is_away_costs_nothing_but_time(told: CommandLine) -> None:
    done = told("deliver", "--once", DMP_MAIL_SMTP_URL="smtp://127.0.0.1:1")
    assert (done.status, done.out) == (0, "0 sent, 1 put off, 0 without mail\n")


def process(cli: CommandLine, box: Mailbox) -> subprocess.Popen[str]:
    environ = environment({**cli.environ, "DMP_MAIL_SMTP_URL": url(box)})
    command = [*COMMAND, "deliver", "--every", "0.2"]
    return subprocess.Popen(command, cwd=cli.folder, env=environ, stdout=subprocess.PIPE, text=True)


@pytest.mark.statement("security N-1", "security N-7")
@pytest.mark.slow
def test_two_processes_send_each_message_once_within_seconds_also_when_one_is_killed(
    told: CommandLine, tmp_path: Path
) -> None:
    with running() as box:
        senders = [process(told, box), process(told, box)]
        try:
            with told.world() as world:
                world.patients[samples.ANOUK] = world.services.patient_id(samples.INS, samples.ANOUK) or ""
                for number in range(6):
                    blocked = [samples.consent_actor(f"8997002187{number:02d}")]
                    world.consent(samples.ANOUK, "block", deny=True, actor=blocked)
                    if number == 3:
                        senders[0].kill()
                end = time.monotonic() + 30
                # What the killed process had leased waits for the end of its lease.
                while world.services.store.outbox.waiting() > 1 and time.monotonic() < end:
                    time.sleep(0.1)
        finally:
            for each in senders:
                each.send_signal(signal.SIGTERM)
            outs = [each.communicate(timeout=20)[0] for each in senders]
        with told.services() as services:
            left = services.store.outbox.waiting()
    assert "sent" in outs[1]
    names = [str(each["Message-ID"]) for each in box.messages]
    assert len(set(names)) + left == 7
    # A sender that is killed between the server's answer and its note of it may repeat one message, under its name.
    assert len(names) <= 8
