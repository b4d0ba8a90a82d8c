"""`fhir-dmp deliver`: sends queued notices by SMTP, beside the server. Several may run."""

from __future__ import annotations

import signal
import sys
import threading

import click


@click.command("deliver")
@click.option("--once", is_flag=True, help="Send what is due now, then end.")
@click.option("--every", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two looks.")
def command(once: bool, every: float) -> None:
    """Send queued notices to patients; a failure is tried again later, nothing is lost.

    Example: fhir-dmp deliver --once
    """
    from fhir_dmp import configuration, logs
    from fhir_dmp.background import Outage
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.errors import ConfigurationError, Problem, StoreUnavailable
    from fhir_dmp.interactions.delivering import Round, deliver
    from fhir_dmp.mail.smtp import smtp_of

    settings = configuration.load()
    with opened(settings) as services:
        if not settings.mail.smtp_url:
            waiting = services.store.outbox.waiting()
            raise ConfigurationError(Problem("mail.smtp_url", f"no mail server is named, {waiting} notices wait"))
        mailer = smtp_of(settings.mail.smtp_url)
        stop = threading.Event()
        if not once:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            logs.configure(sys.stderr)
        total, outage = Round(), Outage("deliver")
        while True:
            try:
                done = deliver(services, mailer, settings.mail.sender)
            except StoreUnavailable as error:
                if once:
                    raise
                outage.failed(error)
                done = Round()
            else:
                outage.worked()
            total.sent += done.sent
            total.deferred += done.deferred
            total.silent += done.silent
            if stop.is_set() or (once and (done.idle or not done.sent)):
                break
            if done.idle and not once:
                stop.wait(every)
        click.echo(f"{total.sent} sent, {total.deferred} put off, {total.silent} without mail")
