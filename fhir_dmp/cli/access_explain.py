"""`fhir-dmp access explain`: the decision on one caller and one record or document, with its row and its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fhir_dmp.bootstrap import Wired
    from fhir_dmp.identity.caller import Caller
    from fhir_dmp.interactions.explaining import Explanation

_MODES = ("normal", "bris_de_glace", "centre_15")
_OPS = ("read", "search", "retrieve", "find-own", "exist", "create", "update-label", "replace", "archive", "delete",
        "consent-write", "history", "reopen")  # fmt: skip


@click.command("explain")
@click.option("--as", "who", required=True, metavar="KIND[:ID]", help="patient, representative, delegate (INS); ps "
              "(RPPS); org (FINESS); feeder; auditor; admin.")  # fmt: skip
@click.option("--patient", default="", metavar="INS", help="Whose record.  [of a patient: the own one]")
@click.option("--document", default=None, metavar="ID", help="Logical id of a DocumentReference of the record.")
@click.option("--op", type=click.Choice(_OPS), default="read", show_default=True, help="What the caller wants to do.")
@click.option("--profession", default="", metavar="CODE", help="Profession of a ps: CODE or SYSTEM|CODE.  [10]")
@click.option("--structure", default="", metavar="FINESS", help="Structure acted for.")
@click.option("--sector", default="", metavar="CODE", help="Sector of the structure (TRE_R02).")
@click.option("--scope", default=None, metavar="SCOPES", help="SMART scopes.  [the maximum of the kind]")
@click.option("--mode", type=click.Choice(_MODES), default="normal", show_default=True, help="Access mode.")
@click.option("--reason", default=None, metavar="TEXT", help="Motive of an emergency access.")
@click.option("--regulator", is_flag=True, help="Accredited regulator (mode centre_15).")
@click.option("--secret", is_flag=True, help="Secret connection.")
@click.option("--delegation", default=None, metavar="ID", help="Consent that delegates (delegate).")
@click.option("--fhir-user", default=None, metavar="REFERENCE", help="RelatedPerson/x of a representative or delegate.")
@click.option("--app", default=None, metavar="ID", help="Catalogue application that acts for the person.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def explain(**given: Any) -> None:
    """Explain whether somebody may do something with a record or a document, and why.

    Nothing of the content is shown; the question is kept in the audit trail.

    Example: fhir-dmp access explain --as ps:10001234567 --patient 285047511200314 --op search
    """
    from fhir_dmp import configuration
    from fhir_dmp.access.decision import Op
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.interactions import explaining

    with opened(configuration.load()) as services:
        caller, patient = _asked(given, services)
        found = explaining.explain(caller, Op(given["op"]), f"Patient/{patient}", services, document=given["document"])
        if given["as_json"]:
            click.echo(json.dumps(_as_json(found), ensure_ascii=False))
        else:
            for line in _lines(found):
                click.echo(line)


def _asked(given: dict[str, Any], services: Wired) -> tuple[Caller, str]:
    """Return the caller that the options describe, and the logical id of the patient.

    Modes are taken as they are claimed: whether they may be is for the decision to say.
    """
    from fhir_dmp.cli.opening import known_profession
    from fhir_dmp.cli.token import identified
    from fhir_dmp.errors import BadRequest
    from fhir_dmp.identity.applicants import KINDS, PERSONS, Application, caller_of
    from fhir_dmp.identity.caller import Mode
    from fhir_dmp.identity.scopes import maximum, parse

    kind, _, id_ = given["who"].partition(":")
    if kind not in KINDS:
        raise click.UsageError(f"--as {kind}: the kind must be one of {', '.join(KINDS)}")
    ins = given["patient"] or (id_ if kind == "patient" else "")
    if not ins:
        raise click.UsageError("give the INS of the record with --patient")
    application = Application(
        kind, id_, "", None, known_profession(given["profession"]), given["structure"], secret=given["secret"]
    )
    try:
        caller = caller_of(identified(application, ins if kind in PERSONS else "", services))
    except BadRequest as error:
        raise click.UsageError(str(error)) from error
    patient = services.patient_id(None, ins)
    if patient is None:
        raise click.ClickException("no patient of this store has the INS of --patient: open the dossier first")
    mode = Mode(given["mode"])
    scopes = maximum(caller.actor, mode) if given["scope"] is None else parse(given["scope"])
    return (
        replace(
            caller,
            mode=mode,
            scopes=scopes,
            # An emergency token reads the one patient that it was given for.
            patient=patient if mode is not Mode.NORMAL else caller.patient,
            reason=given["reason"],
            regulator=given["regulator"],
            sector=given["sector"],
            delegation=(given["delegation"],) if given["delegation"] else (),
            fhir_user=given["fhir_user"],
            **_application(given["app"], services),
        ),
        patient,
    )


def _application(id_: str | None, services: Wired) -> dict[str, Any]:
    """Return what a token says of the application: as it is registered, or its id alone."""
    client = services.clients.get(id_) if id_ else None
    app, read, written = client.as_application if client is not None else (id_, None, None)
    return {"app": app or id_, "app_classes": read, "app_write_classes": written}


def _lines(found: Explanation) -> Iterator[str]:
    target = found.patient if found.document is None else f"DocumentReference/{found.document}"
    yield f"{found.effect.value}: {found.op.value} {target}"
    for row, words in zip(found.rows, found.words, strict=True):
        yield f"row            {row}: {words}"
    yield f"HTTP           {found.status}"
    yield f"reason         {found.reason or '-'}"
    yield f"dossier        {found.dossier}"
    yield f"relation       {found.relation}"
    yield f"authorisation  {found.authorisation or '-'}"
    yield f"obligations    {', '.join(found.obligations) or '-'}"
    yield f"warnings       {', '.join(found.warnings) or '-'}"
    yield f"matrix         {found.matrix}"
    for ground in found.grounds:
        counted = "counted" if ground.counted else "not counted"
        yield f"consent        {ground.consent} {ground.kind} {ground.type} {ground.period} {counted}"


def _as_json(found: Explanation) -> dict[str, Any]:
    return {
        "effect": found.effect.value,
        "op": found.op.value,
        "patient": found.patient,
        "document": found.document,
        "rows": [{"row": row, "words": words} for row, words in zip(found.rows, found.words, strict=True)],
        "status": found.status,
        "reason": found.reason,
        "dossier": found.dossier,
        "relation": found.relation,
        "authorisation": found.authorisation,
        "obligations": list(found.obligations),
        "warnings": list(found.warnings),
        "matrix": found.matrix,
        "consents": [
            {"consent": g.consent, "kind": g.kind, "type": g.type, "period": g.period, "counted": g.counted}
            for g in found.grounds
        ],
    }
