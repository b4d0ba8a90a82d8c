"""TD3.1, what is found: every parameter of documents. [dmp-fhir 9.7, security 8.1]"""

from __future__ import annotations

import pytest

from tests import samples
from tests.flows.steps import Dossier, assert_refused, coded, escaped, next_content, next_ins, next_oid, readable
from tests.world import Client, World

URI = "urn:ietf:rfc:3986"


OTHER_CLASS, OTHER_TYPE = "52", "87273-9"


VACCINATIONS = "11369-6"


@pytest.mark.statement("dmp-fhir 9.7/112")
def test_type_takes_a_list_of_codes(dossier: Dossier, doctor: Client) -> None:
    first = dossier.submit()
    second = dossier.submit(type_=(samples.LOINC, OTHER_TYPE), class_=OTHER_CLASS)
    dossier.submit(type_=(samples.LOINC, "11502-2"))
    asked = f"type={samples.LOINC}|11488-4,{samples.LOINC}|{OTHER_TYPE}"
    assert set(dossier.found(doctor, asked)) == {first, second}
    assert dossier.found(doctor, f"type={OTHER_TYPE}") == [second]
    assert dossier.found(doctor, f"type={samples.LOINC}|absent") == []


@pytest.fixture(scope="module")
def coded_otherwise(world: World) -> tuple[Dossier, str, str]:
    """A plain document, and one with other codes everywhere: the dossier and their ids."""
    dossier, doctor = readable(world)
    plain = dossier.submit()
    made = samples.submission(
        next_oid(), ins=dossier.ins, class_=OTHER_CLASS, content=next_content(), content_type="application/pdf"
    )
    document = made["entry"][1]["resource"]
    document["securityLabel"] = [coded(samples.CONFIDENTIALITY, "R")]
    document["content"][0]["format"] = {"system": samples.FORMATS, "code": "urn:ihe:iti:xds-sd:pdf:2008"}
    document["content"][0]["attachment"]["language"] = "en-GB"
    document["context"]["event"] = [
        coded("https://mos.esante.gouv.fr/NOS/TRE_A00-ProducteurDocNonPS/FHIR/TRE-A00-ProducteurDocNonPS", "SNR")
    ]
    document["context"]["facilityType"] = coded(samples.SECTORS, "SA05")
    document["context"]["practiceSetting"] = coded(samples.SETTINGS, "AMBULATOIRE")
    answer = doctor.post("", made)
    assert answer.status == 200, answer.body
    return dossier, plain, answer.json["entry"][1]["response"]["location"].split("/")[1]


@pytest.mark.statement("dmp-fhir 9.7/113")
@pytest.mark.parametrize(
    ("parameter", "system", "code"),
    [
        ("category", samples.CLASSES, OTHER_CLASS),
        ("facility", samples.SECTORS, "SA05"),
        ("setting", samples.SETTINGS, "AMBULATOIRE"),
        ("format", samples.FORMATS, "urn:ihe:iti:xds-sd:pdf:2008"),
        ("event", "https://mos.esante.gouv.fr/NOS/TRE_A00-ProducteurDocNonPS/FHIR/TRE-A00-ProducteurDocNonPS", "SNR"),
        ("security-label", samples.CONFIDENTIALITY, "R"),
        ("contenttype", "urn:ietf:bcp:13", "application/pdf"),
        ("language", "urn:ietf:bcp:47", "en-GB"),
    ],
)
def test_the_metadata_filter_as_tokens(
    world: World, coded_otherwise: tuple[Dossier, str, str], parameter: str, system: str, code: str
) -> None:
    (dossier, plain, rich), doctor = coded_otherwise, world.doctor()
    forms = [code] if parameter in ("contenttype", "language") else [code, f"{system}|{code}"]
    for form in forms:
        assert dossier.found(doctor, f"{parameter}={escaped(form)}") == [rich]
    assert dossier.found(doctor, f"{parameter}:not={escaped(code)}") == [plain]
    assert dossier.found(doctor, f"{parameter}={escaped('https://example.org/other|' + code)}") == []


@pytest.mark.statement("dmp-fhir 9.7/114")
def test_date_and_creation_are_two_dates(dossier: Dossier, doctor: Client) -> None:
    made = samples.submission(next_oid(), ins=dossier.ins, content=next_content(), date="2025-03-10T08:00:00+01:00")
    made["entry"][1]["resource"]["content"][0]["attachment"]["creation"] = "2024-11-20T10:30:00+01:00"
    id_ = doctor.post("", made).json["entry"][1]["response"]["location"].split("/")[1]
    other = dossier.submit()
    assert dossier.found(doctor, "date=2025-03-10") == [id_]
    assert dossier.found(doctor, "creation=2024-11-20") == [id_]
    assert dossier.found(doctor, "date=2024-11-20") == []
    assert dossier.found(doctor, "creation=ge2025") == [other]
    assert set(dossier.found(doctor, "date=ge2025-03-10T07:00:00Z")) == {id_, other}


@pytest.fixture(scope="module")
def acts(world: World) -> tuple[Dossier, dict[str, str]]:
    """Three acts: in January, from March to May, and one that still runs."""
    dossier, doctor = readable(world)
    periods = {
        "january": {"start": "2026-01-05T09:00:00+01:00", "end": "2026-01-05T10:00:00+01:00"},
        "spring": {"start": "2026-03-01", "end": "2026-05-31"},
        "open": {"start": "2026-04-10T08:00:00+02:00"},
    }
    found = {}
    for name, period in periods.items():
        made = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
        made["entry"][1]["resource"]["context"]["period"] = period
        answer = doctor.post("", made)
        assert answer.status == 200, answer.body
        found[name] = answer.json["entry"][1]["response"]["location"].split("/")[1]
    return dossier, found


@pytest.mark.statement("dmp-fhir 9.7/115")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("period=2026-01-05", "january"),
        ("period=ge2026-03-15", "spring open"),
        ("period=ge2026-03-15&period=le2026-03-31", "spring"),
        ("period=lt2026-02", "january"),
        ("period=gt2026-05-31", "open"),
        ("period=ge2026-04-01&period=le2026-04-30", "spring open"),
        ("period-start=2026-01-05", "january"),
        ("period-start=ge2026-03-01", "spring open"),
        ("period-start=gt2026-03-01", "open"),
        ("period-start=le2026-03-01", "january spring"),
        ("period-start=lt2026-03-01", "january"),
        ("period-start=ge2026-01-01&period-start=le2026-03-31", "january spring"),
        ("period-end=2026-05-31", "spring"),
        ("period-end=ge2026-01-05", "january spring"),
        ("period-end=gt2026-01-05", "spring"),
        ("period-end=lt2026-05-31", "january"),
        ("period-end=le2026-05-31", "january spring"),
        ("period-end:missing=true", "open"),
    ],
)
def test_period_overlaps_and_its_bounds_compare(
    world: World, acts: tuple[Dossier, dict[str, str]], query: str, names: str
) -> None:
    dossier, made = acts
    found = dossier.found(world.doctor(), query)
    assert {name for name, id_ in made.items() if id_ in found} == set(names.split())


@pytest.mark.statement("dmp-fhir 9.7/116")
def test_identifier_finds_by_unique_id_and_by_entry_uuid(dossier: Dossier, doctor: Client) -> None:
    unique = next_oid()
    id_ = dossier.submit(unique)
    dossier.submit()
    for value in (f"{URI}|urn:oid:{unique}", f"urn:oid:{unique}", f"{URI}|{unique}", f"{URI}|urn:uuid:{id_}"):
        assert dossier.found(doctor, f"identifier={escaped(value)}") == [id_]
    assert dossier.found(doctor, f"identifier={URI}|urn:oid:{unique}.1") == []


@pytest.mark.statement("dmp-fhir 9.7/117")
def test_related_finds_by_a_reference_id(dossier: Dossier, doctor: Client) -> None:
    made = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    order = {"type": coded(URI, "urn:ihe:iti:xds:2013:order"), "system": "urn:oid:1.2.250.1.999.4", "value": "CMD-77"}
    made["entry"][1]["resource"]["context"]["related"] = [{"identifier": order}]
    answer = doctor.post("", made)
    assert answer.status == 200, answer.body
    id_ = answer.json["entry"][1]["response"]["location"].split("/")[1]
    dossier.submit()
    assert dossier.found(doctor, "related:identifier=urn:oid:1.2.250.1.999.4|CMD-77") == [id_]
    assert dossier.found(doctor, "related:identifier=CMD-77") == [id_]
    assert dossier.found(doctor, "related:identifier=CMD-78") == []


@pytest.mark.statement("dmp-fhir 9.7/118")
def test_is_archived_counts_absence_as_false(dossier: Dossier, doctor: Client) -> None:
    plain, archived = dossier.submit(), dossier.submit()
    dossier.archive(archived)
    assert dossier.found(doctor, "isArchived=false") == [plain]
    assert dossier.found(doctor, "isArchived=true") == [archived]
    assert set(dossier.found(doctor)) == {plain, archived}
    back = [{"op": "replace", "path": "/extension/0/valueBoolean", "value": False}]
    assert doctor.patch(f"/DocumentReference/{archived}", back).status == 200
    assert set(dossier.found(doctor, "isArchived=false")) == {plain, archived}


@pytest.mark.statement("dmp-fhir 9.7/119")
def test_last_updated_finds_everything_that_changed_since(world: World, dossier: Dossier, doctor: Client) -> None:
    quiet, replaced, relabelled, archived = (dossier.submit() for _ in range(4))
    world.clock.time_ms += 60_000
    since = dossier.search(doctor).json["meta"]["lastUpdated"]
    world.clock.time_ms += 60_000
    created = dossier.submit()
    new = dossier.replace(replaced)
    dossier.label(relabelled, "MASQUE_PS")
    dossier.archive(archived)
    changed = dossier.found(doctor, f"_lastUpdated=gt{escaped(since)}")
    assert set(changed) == {created, new, replaced, relabelled, archived}
    assert set(dossier.found(doctor, f"_lastUpdated=le{escaped(since)}")) == {quiet}


@pytest.mark.statement("dmp-fhir 9.7/120")
def test_authors_are_found_inside_the_document(world: World, dossier: Dossier, doctor: Client) -> None:
    id_ = dossier.submit()
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    made = samples.submission(
        next_oid(),
        ins=dossier.ins,
        content=next_content(),
        professional=samples.OTHER_DOCTOR,
        structure=samples.CLINIC,
    )
    made["entry"][1]["resource"]["contained"][0]["name"] = [{"family": "LE GOFF", "given": ["Maëlle"]}]
    assert other.post("", made).status == 200
    for query in (
        "author.family=carlier",
        "author.given=hippolyte",
        f"author.identifier=urn:oid:1.2.250.1.71.4.2.1|{samples.DOCTOR}",
        f"author.identifier=https://rpps.esante.gouv.fr|{samples.DOCTOR[1:]}",
    ):
        assert dossier.found(doctor, query) == [id_]
    assert len(dossier.found(doctor, "author.given=maelle&author.family=le%20goff")) == 1
    assert dossier.found(doctor, "author.family=absent") == []


@pytest.mark.statement("dmp-fhir 9.7/125")
def test_every_spelling_of_normal_confidentiality_finds_the_same(dossier: Dossier, doctor: Client) -> None:
    trea08 = f"{samples.NOS}/TRE_A08-HL7Confidentiality/FHIR/TRE-A08-HL7Confidentiality"
    spellings = [samples.CONFIDENTIALITY, trea08, "urn:oid:2.16.840.1.113883.5.25"]
    stored = {dossier.submit(labels=((system, "N"),)) for system in spellings}
    dossier.submit(labels=((samples.CONFIDENTIALITY, "R"),))
    for system in spellings:
        assert set(dossier.found(doctor, f"security-label={system}|N")) == stored
    for id_ in stored:
        assert dossier.read(id_)["securityLabel"][0]["coding"][0]["system"] in spellings


@pytest.mark.statement("dmp-fhir 9.7/125")
def test_every_spelling_of_a_visibility_label_masks(world: World, dossier: Dossier) -> None:
    misspelt = f"{samples.NOS}/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"
    stored = set()
    for system in (samples.VISIBILITY, misspelt, "urn:oid:1.2.250.1.213.1.1.4.13"):
        stored.add(dossier.submit(labels=((system, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N"))))
    dossier.authorise(samples.OTHER_DOCTOR)
    assert dossier.found(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)) == []
    for system in (samples.VISIBILITY, misspelt, "urn:oid:1.2.250.1.213.1.1.4.13"):
        assert set(dossier.found(dossier.holder, f"security-label={system}|MASQUE_PS")) == stored


@pytest.mark.statement("dmp-fhir 9.7/128")
def test_an_unknown_parameter_is_a_warning_or_refused_when_strict(dossier: Dossier, doctor: Client) -> None:
    id_ = dossier.submit()
    answer = dossier.search(doctor, "favourite=yes")
    assert [each["id"] for each in answer.entries] == [id_]
    (outcome,) = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
    assert [(issue["severity"], issue["code"]) for issue in outcome["issue"]] == [("warning", "not-supported")]
    assert "favourite" in outcome["issue"][0]["diagnostics"]
    assert "favourite" not in next(link["url"] for link in answer.json["link"] if link["relation"] == "self")
    strict = doctor.get(f"/DocumentReference?{dossier.criterion}&favourite=yes", Prefer="handling=strict")
    assert_refused(strict, 400, "not-supported")


@pytest.mark.statement("dmp-fhir 9.7/129")
@pytest.mark.parametrize(
    "query",
    [
        "date=yesterday",
        "date=2026-13-01",
        "period=ge",
        "creation=2026-02-30",
        "_lastUpdated=gt",
        "type=a|b|c",
        "status=|",
    ],
)
def test_a_malformed_date_or_token_is_400(dossier: Dossier, doctor: Client, query: str) -> None:
    assert_refused(dossier.search(doctor, query), 400)


@pytest.mark.statement("dmp-fhir 9.7/137")
def test_the_first_contact_search_of_two_years(world: World, dossier: Dossier, doctor: Client) -> None:
    recent = dossier.submit()
    vaccinations = dossier.submit(type_=(samples.LOINC, VACCINATIONS), date="2026-02-01T10:00:00+01:00")
    old = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    old["entry"][1]["resource"]["context"]["period"] = {"start": "2019-02-01", "end": "2019-02-02"}
    assert doctor.post("", old).status == 200
    dossier.submit(type_=(samples.LOINC, "11502-2"))
    query = f"status=current&period=ge2024-06-12&type={samples.LOINC}|11488-4,{samples.LOINC}|{VACCINATIONS}"
    assert set(dossier.found(doctor, query)) == {recent, vaccinations}


@pytest.mark.statement("dmp-fhir 9.7/103")
def test_two_patients_are_never_mixed(world: World, dossier: Dossier, doctor: Client) -> None:
    other = Dossier.open(world, next_ins())
    other.authorise()
    mine, theirs = dossier.submit(), other.submit()
    assert dossier.found(doctor) == [mine]
    assert other.found(doctor) == [theirs]
    both = doctor.get(f"/DocumentReference?patient=Patient/{dossier.id},Patient/{other.id}")
    assert {each["id"] for each in both.entries} == {mine, theirs}
    shut = Dossier.open(world, next_ins())
    mixed = doctor.get(f"/DocumentReference?patient=Patient/{dossier.id},Patient/{shut.id}")
    assert_refused(mixed, 403, "non-autorise")
