"""TD0.2 (does the dossier exist, may I enter) and TD0.5 (search by traits). [dmp-fhir 3.1, 9.2, 9.3, 9.10/200]"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from fhir_dmp.identity.caller import Mode
from tests import samples
from tests.flows.acts import call, done, extension, identifier, motive, stranger, trail
from tests.flows.steps import Dossier, assert_refused, next_ins, nothing_stored
from tests.samples import Json
from tests.world import Client, Response, World

OTHER = identifier(samples.OTHER_DOCTOR)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def check(client: Client, ins: str, more: str = "") -> Response:
    """TD0.2 by GET."""
    return client.get(f"/Patient?identifier={samples.INS}|{ins}{more}")


def only(answer: Response) -> Json:
    """Return the only patient that was found."""
    assert answer.status == 200, answer.body
    (found,) = answer.entries
    assert answer.json["total"] == 1
    return found


def outcomes(answer: Response) -> list[Json]:
    """Return the outcome entries of a searchset."""
    return [e["resource"] for e in answer.json.get("entry", []) if e["search"]["mode"] == "outcome"]


def value(patient: Json, name: str) -> Any:
    """Return the value of an extension."""
    found = extension(patient, name)
    assert found is not None, patient
    return next(part for key, part in found.items() if key.startswith("value"))


@pytest.mark.statement("dmp-fhir 9.3/31", "dmp-fhir 9.2/21")
@pytest.mark.parametrize("ins", ["199017511200194", "123456789012345", "nonsense"])
def test_no_dossier_is_no_entry(world: World, ins: str) -> None:
    for client in (world.doctor(), world.structure()):
        answer = check(client, ins)
        assert (answer.status, answer.entries, answer.json["total"]) == (200, [], 0)


@pytest.mark.statement("dmp-fhir 9.3/31")
def test_a_patient_without_opening_is_no_dossier(world: World) -> None:
    ins = next_ins()
    assert world.admin.post("/Patient", samples.patient(ins)).status == 201
    assert check(world.doctor(), ins).entries == []


@pytest.mark.statement("dmp-fhir 9.3/32", "dmp-fhir 9.3/35")
def test_an_open_dossier_is_one_entry_with_identity_and_no_contact_data(world: World) -> None:
    ins = next_ins()
    attached = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-rattachement-mes"
    phone = [{"system": "phone", "value": "0102030405"}]
    Dossier.open(world, ins, telecom=phone, address=[{"city": "Tours"}])
    found = only(check(stranger(world), ins))
    assert found["active"] is True
    assert (found["name"][0]["family"], found["birthDate"]) == ("BELLANGER", "1985-04-17")
    assert not {"telecom", "address", "generalPractitioner"} & set(found)
    assert value(found, "dmp-rattachement-mes") is False
    person = samples.patient(next_ins())
    person["extension"].append({"url": attached, "valueBoolean": True})
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(person))
    assert answer.status == 200, answer.body
    assert value(only(check(stranger(world), person["identifier"][0]["value"])), "dmp-rattachement-mes") is True


@pytest.mark.statement("dmp-fhir 9.3/33")
def test_a_closed_dossier_is_one_entry_with_date_motive_and_reason(world: World, dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive(), raison="Demande orale", date="2026-03-02"))
    found = only(check(stranger(world), dossier.ins))
    closing = extension(found, "dmp-fermeture")
    assert (found["active"], closing is not None) == (False, True)
    assert closing is not None
    parts = {part["url"]: part for part in closing["extension"]}
    assert parts["dateFermeture"]["valueDate"] == "2026-03-02"
    assert [c["code"] for c in parts["motifFermeture"]["valueCodeableConcept"]["coding"]] == [
        "patient-demande",
        "FERMETURE_DEMANDE_PATIENT",
    ]
    assert parts["raisonFermeture"]["valueString"] == "Demande orale"


@pytest.mark.statement("dmp-fhir 9.3/34")
@pytest.mark.parametrize("token", ["{ins}", "|{ins}"])
def test_an_identifier_without_system_is_400(world: World, dossier: Dossier, token: str) -> None:
    criterion = f"identifier={token.format(ins=dossier.ins)}"
    assert_refused(world.doctor().get(f"/Patient?{criterion}"), 400, "required")
    assert_refused(world.doctor().call("POST", "/Patient/_search", criterion.encode(), FORM), 400, "required")


@pytest.mark.statement("dmp-fhir 9.3/36")
def test_the_role_is_told_to_the_professional_who_holds_it(world: World, dossier: Dossier) -> None:
    assert value(only(check(stranger(world), dossier.ins)), "dmp-medecin-traitant") is False
    done(call(stranger(world), dossier, "dmp-autoriser", medecinTraitant=True))
    assert value(only(check(stranger(world), dossier.ins)), "dmp-medecin-traitant") is True
    assert value(only(check(world.doctor(), dossier.ins)), "dmp-medecin-traitant") is False
    assert extension(only(check(world.structure(), dossier.ins)), "dmp-medecin-traitant") is None
    assert extension(world.admin.get(f"/Patient/{dossier.id}").json, "dmp-medecin-traitant") is None


@pytest.mark.statement("dmp-fhir 9.3/37")
def test_the_status_of_the_authorisation_agrees_with_the_consents(world: World, dossier: Dossier) -> None:
    def status() -> str:
        told: str = value(only(check(stranger(world), dossier.ins)), "dmp-statut-autorisation")
        return told

    assert status() == "NON_EXISTE"
    dossier.authorise(samples.OTHER_DOCTOR, start="2026-01-01", end="2026-03-31")
    assert status() == "EXPIRE"
    done(call(stranger(world), dossier, "dmp-autoriser"))
    assert status() == "VALIDE"
    done(call(stranger(world), dossier, "dmp-revoquer"))
    assert status() == "NON_EXISTE"
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    assert done(call(stranger(world), dossier, "dmp-verifier-acces"))["autorisation"] == "INTERDIT"


@pytest.mark.statement("dmp-fhir 9.3/38")
def test_a_blocked_professional_gets_the_ins_the_state_and_the_reason(world: World) -> None:
    ins = next_ins()
    person = samples.patient(ins)
    person["identifier"].append({"system": "urn:oid:1.2.250.1.999.3", "value": "IPP-77"})
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(person))
    world.patients[ins] = answer.json["parameter"][0]["resource"]["id"]
    dossier = Dossier(world, ins, world.patients[ins])
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    answer = check(stranger(world), ins)
    found = only(answer)
    assert set(found) == {"resourceType", "id", "meta", "identifier", "active"}
    assert [each["value"] for each in found["identifier"]] == [ins]
    (outcome,) = outcomes(answer)
    codes = {coding["code"] for coding in outcome["issue"][0]["details"]["coding"]}
    assert codes == {"professionnel-bloque", "blocked"}


@pytest.mark.statement("dmp-fhir 9.3/38")
@pytest.mark.parametrize("criterion", ["family=BELLANGER", "birthdate=1985-04-17", "gender=male", "name=Anouk"])
def test_a_blocked_professional_does_not_test_traits_either(world: World, dossier: Dossier, criterion: str) -> None:
    assert only(check(stranger(world), dossier.ins, f"&{criterion}"))["id"] == dossier.id
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    assert check(stranger(world), dossier.ins, f"&{criterion}").entries == []


@pytest.mark.statement("dmp-fhir 9.3/32")
def test_what_is_not_shown_cannot_be_tested(world: World) -> None:
    ins = next_ins()
    opened = Dossier.open(world, ins, telecom=[{"system": "phone", "value": "0102030405"}])
    assert check(stranger(world), ins, "&phone=0102030405").entries == []
    done(call(stranger(world), opened, "dmp-autoriser"))
    assert only(check(stranger(world), ins, "&phone=0102030405"))["id"] == opened.id


@pytest.mark.statement("dmp-fhir 9.3/39")
def test_the_search_by_post_behaves_like_get(world: World, dossier: Dossier) -> None:
    form = f"identifier={quote(samples.INS)}%7C{dossier.ins}".encode()
    for client in (world.doctor(), world.structure(), dossier.holder):
        assert only(client.call("POST", "/Patient/_search", form, FORM)) == only(check(client, dossier.ins))
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    posted = stranger(world).call("POST", "/Patient/_search", form, FORM)
    assert posted.json["entry"] == check(stranger(world), dossier.ins).json["entry"]


@pytest.mark.statement("dmp-fhir 9.3/40")
def test_every_check_is_audited_even_with_no_result(world: World, dossier: Dossier) -> None:
    def recorded() -> int:
        return len(world.admin.get("/AuditEvent?date=ge2026-01-01&subtype=TD0.2&_count=500").entries)

    before = recorded()
    check(stranger(world), next_ins())
    assert recorded() == before + 1
    check(stranger(world), dossier.ins)
    (event,) = trail(dossier, "TD0.2")
    assert (event["action"], event["outcome"]) == ("E", "0")
    assert [coding["code"] for coding in event["subtype"]] == ["search-type", "TD0.2"]
    assert any("query" in entity for entity in event["entity"])
    stranger(world).get("/Patient?identifier=" + dossier.ins)
    assert recorded() == before + 3


@pytest.mark.statement("dmp-fhir 9.2/24")
def test_a_billing_number_keys_no_dossier(world: World) -> None:
    ins, parent = next_ins(), next_ins()
    person = samples.patient(ins)
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NH"}]}
    person["identifier"].append({"type": kind, "use": "official", "system": samples.INS, "value": parent})
    assert world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(person)).status == 200
    assert check(stranger(world), parent).entries == []
    assert only(check(stranger(world), ins))["active"] is True
    assert Dossier.open(world, parent).id


def test_a_patient_checks_the_own_dossier_only(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    assert only(check(dossier.holder, dossier.ins))["id"] == dossier.id
    assert value(only(dossier.holder.get("/Patient")), "dmp-rattachement-mes") is False
    assert check(dossier.holder, other.ins).entries == []


# --- TD0.5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.statement("dmp-fhir 9.10/200")
def test_a_search_by_traits_finds_dossiers_and_tells_how_the_caller_stands(world: World) -> None:
    ins = next_ins()
    opened = Dossier.open(world, ins, family="QUEMENER", given="Yann", birthDate="1961-07-03")
    world.admin.post("/Patient", samples.patient(next_ins(), family="QUEMENER", birthDate="1961-07-03"))
    for more in ("", "&given=Yann", "&gender=male", "&given=Yann&gender=male"):
        found = only(stranger(world).get(f"/Patient?family=quemener&birthdate=1961-07-03{more}"))
        assert found["id"] == opened.id
        assert found["identifier"][0]["value"] == ins
        assert value(found, "dmp-statut-autorisation") == "NON_EXISTE"
    assert stranger(world).get("/Patient?family=QUEMENER&birthdate=1961-07-03&given=Paul").json["total"] == 0
    (event, *_) = trail(opened, "TD0.5")
    assert [coding["code"] for coding in event["subtype"]] == ["search-type", "TD0.5"]


@pytest.mark.statement("dmp-fhir 9.10/200")
def test_a_search_by_traits_gives_at_most_ten_and_says_so(world: World) -> None:
    for _ in range(12):
        Dossier.open(world, next_ins(), family="LE GALL", birthDate="1958-02-11")
    answer = world.doctor().get("/Patient?family=Le%20Gall&birthdate=1958-02-11&_count=50")
    assert (len(answer.entries), answer.json["total"]) == (10, 10)
    assert [issue["code"] for issue in outcomes(answer)[0]["issue"]] == ["too-costly"]
    counted = world.doctor().get("/Patient?family=Le%20Gall&birthdate=1958-02-11&_summary=count")
    assert counted.json["total"] == 10


@pytest.mark.statement("dmp-fhir 9.10/200")
@pytest.mark.parametrize(
    "criteria",
    [
        "",
        "?family=BELLANGER",
        "?birthdate=1985-04-17",
        "?given=Anouk&birthdate=1985-04-17",
        "?family=BELLANGER&birthdate=1985",
        "?family=BELLANGER&birthdate=ge1900-01-01",
        "?family=BELLANGER&birthdate=1985-04-17,1985-04-18",
        "?family=BELLANGER&birthdate:missing=false",
        "?family:contains=E&birthdate=1985-04-17",
        "?family=B&birthdate=1985-04-17",
        "?family=BE,DU&birthdate=1985-04-17",
        "?name=BELLANGER&birthdate=1985-04-17",
        "?family=BELLANGER&birthdate=1985-04-17&phone=0102030405",
    ],
)
def test_a_search_by_traits_needs_one_family_name_and_one_whole_birth_date(world: World, criteria: str) -> None:
    assert world.doctor().get(f"/Patient{criteria}").status == 400


@pytest.mark.statement("dmp-fhir 9.10/200")
def test_a_search_by_traits_leaves_out_those_who_blocked_the_caller_and_emergency_modes(world: World) -> None:
    opened = Dossier.open(world, next_ins(), family="TREGUER", birthDate="1971-01-02")
    query = "/Patient?family=TREGUER&birthdate=1971-01-02"
    done(call(opened.holder, opened, "dmp-bloquer", professionnel=OTHER))
    assert stranger(world).get(query).json["total"] == 0
    assert world.doctor().get(query).json["total"] == 1
    urgent = world.doctor(mode=Mode.BREAK_GLASS, reason="Inconscient")
    assert_refused(urgent.get(query), 403, "mass-search")


# --- 9.2 -------------------------------------------------------------------------------------------------------------


@pytest.mark.statement("dmp-fhir 9.2/16", "dmp-fhir 9.2/17")
@pytest.mark.parametrize(
    "ins", ["124018852493334", "155067200010159", "168017218137243", "185032A12345601", "185032B12345628"]
)
def test_valid_keys_open_a_dossier(world: World, ins: str) -> None:
    assert world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(ins))).status == 200


@pytest.mark.statement("dmp-fhir 9.2/18")
def test_a_wrong_key_is_422_in_strict_mode(world: World) -> None:
    with nothing_stored(world):
        answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient("123456789012345")))
    assert_refused(answer, 422, "ins-cle-invalide", "value")


@pytest.mark.statement("dmp-fhir 9.2/19")
def test_a_wrong_key_is_a_warning_in_warn_mode(world: World, make: Any) -> None:
    lenient = make(DMP_IDENTITY_INS_KEY_CHECK="warn")
    answer = lenient.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient("123456789012345")))
    (issue,) = done(answer)["outcome"]["issue"]
    assert (issue["severity"], issue["details"]["coding"][0]["code"]) == ("warning", "ins-cle-invalide")


@pytest.mark.statement("dmp-fhir 9.2/20")
@pytest.mark.parametrize("ins", ["18503201234560", "1850320123456O1", "1850320123456011", "585032012345601"])
def test_a_malformed_matricule_is_refused(world: World, ins: str) -> None:
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(ins)))
    assert_refused(answer, 422, "ins-format-invalide")


@pytest.mark.statement("dmp-fhir 9.2/22", "dmp-fhir 9.2/23")
def test_systems_are_told_apart_and_test_ones_need_a_setting(world: World, make: Any) -> None:
    def person(oid: str, ins: str) -> Json:
        made = samples.patient(ins)
        made["identifier"][0] = {"use": "official", "system": f"urn:oid:1.2.250.1.213.1.4.{oid}", "value": ins}
        return samples.opening(made)

    ins = next_ins()
    for oid in ("10", "11"):
        assert_refused(world.doctor().post("/Patient/$dmp-ouvrir", person(oid, ins)), 422, "business-rule")
    trial = make(DMP_IDENTITY_INS_TEST_ALLOWED="true")
    ids = set()
    for oid in ("8", "9", "10", "11"):
        ids.add(done(trial.doctor().post("/Patient/$dmp-ouvrir", person(oid, ins)))["patient"]["id"])
    assert len(ids) == 4
    found = trial.doctor().get(f"/Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|{ins}")
    assert only(found)["identifier"][0]["system"].endswith(".10")


@pytest.mark.statement("dmp-fhir 9.2/25")
def test_two_dossiers_never_share_a_matricule(world: World, dossier: Dossier) -> None:
    answer = world.admin.post("/Patient", samples.patient(dossier.ins))
    assert_refused(answer, 409, "duplicate")
    assert len(world.admin.get(f"/Patient?identifier={samples.INS}|{dossier.ins}").entries) == 1


@pytest.mark.statement("dmp-fhir 9.2/26")
@pytest.mark.parametrize("part", ["family", "given"])
def test_an_official_name_needs_family_and_given(world: World, part: str) -> None:
    person = samples.patient(next_ins())
    del person["name"][0][part]
    assert_refused(world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(person)), 422, "required")


@pytest.mark.statement("dmp-fhir 9.2/27", "dmp-fhir 9.2/28")
@pytest.mark.parametrize(("status", "comment"), [("PROV", None), ("VALI", None), ("QUAL", "DOUT"), ("QUAL", "FICT")])
def test_a_weak_or_doubtful_identity_is_refused(world: World, status: str, comment: str | None) -> None:
    person = samples.patient(next_ins())
    parts = person["extension"][0]["extension"]
    parts[0]["valueCoding"]["code"] = status
    if comment is not None:
        parts.append({"url": "comment", "valueCodeableConcept": {"coding": [{"system": "urn:x", "code": comment}]}})
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(person))
    assert_refused(answer, 422, "identite-non-qualifiee")


@pytest.mark.statement("dmp-fhir 9.2/29", "dmp-fhir 9.2/30")
def test_one_professional_in_every_spelling_and_form(world: World, dossier: Dossier) -> None:
    for spelling in ("https://rpps.esante.gouv.fr", "http://rpps.fr"):
        done(
            call(dossier.holder, dossier, "dmp-autoriser", professionnel=identifier(samples.OTHER_DOCTOR[1:], spelling))
        )
        assert dossier.found(stranger(world)) == []
        done(call(dossier.holder, dossier, "dmp-revoquer", professionnel=OTHER))
    inside = identifier("3750100125/1453")
    done(call(dossier.holder, dossier, "dmp-autoriser", professionnel=inside))
    assert dossier.found(world.doctor("3750100125/1453", samples.HOSPITAL)) == []


PRACTICE = "401234567890009"
ALIASES = (
    ("urn:oid:1.2.250.1.71.4.2.2", PRACTICE),
    ("urn:oid:1.2.250.1.71.4.2.2", "40123456789009"),
    ("https://rppsrang.esante.gouv.fr", "01234567890009"),
    ("https://rppsrang.esante.gouv.fr", "0123456789009"),
    ("urn:oid:1.2.250.1.213.1.6.4.3", "01234567890009"),
)


@pytest.mark.statement("dmp-fhir 9.2/29")
@pytest.mark.parametrize(("system", "value"), ALIASES)
def test_one_practice_in_every_spelling(world: World, dossier: Dossier, system: str, value: str) -> None:
    done(call(dossier.holder, dossier, "dmp-autoriser", structure=identifier(value, system)))
    assert dossier.found(world.doctor(samples.OTHER_DOCTOR, PRACTICE)) == []
    assert dossier.search(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)).status == 403


def test_a_mistyped_rpps_number_of_an_author_is_a_warning(world: World, dossier: Dossier) -> None:
    mistyped = "899700218897"
    body = samples.submission("1.2.250.1.999.8.1", ins=dossier.ins, professional=mistyped)
    answer = world.doctor(mistyped).post("", body)
    assert answer.status == 200, answer.body
    issues = [i for each in answer.json["entry"] for i in each["response"].get("outcome", {}).get("issue", [])]
    assert [i["severity"] for i in issues if "control digit" in i["diagnostics"]] == ["warning"]
    right = world.doctor().post("", samples.submission("1.2.250.1.999.8.2", ins=dossier.ins))
    assert b"control digit" not in right.body
