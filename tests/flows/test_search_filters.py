"""TD3.1, what is found: every parameter of documents, paging, sorting, results. [dmp-fhir 9.7, security 8.1]"""

from __future__ import annotations

import pytest

from tests import samples
from tests.flows.steps import Dossier, assert_refused, escaped, next_content, next_ins, next_oid
from tests.samples import Json
from tests.world import Client, World

URI = "urn:ietf:rfc:3986"
OTHER_CLASS, OTHER_TYPE = "52", "87273-9"
VACCINATIONS = "11369-6"


@pytest.fixture
def doctor(world: World, dossier: Dossier) -> Client:
    """The authorised author."""
    dossier.authorise()
    return world.doctor()


def readable(world: World) -> tuple[Dossier, Client]:
    """Return a dossier that several tests read and none changes, and its authorised author."""
    dossier = Dossier.open(world, next_ins())
    dossier.authorise()
    return dossier, world.doctor()


def coded(system: str, code: str) -> Json:
    """Return a CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.statement("dmp-fhir 9.7/109")
def test_the_answer_is_a_searchset_with_total_self_link_and_full_urls(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    id_ = dossier.submit()
    answer = dossier.search(doctor, "status=current")
    assert (answer.json["resourceType"], answer.json["type"], answer.json["total"]) == ("Bundle", "searchset", 1)
    links = {link["relation"]: link["url"] for link in answer.json["link"]}
    assert links["self"].startswith(f"{world.services.base}/DocumentReference?")
    assert "status=current" in links["self"]
    (entry,) = answer.json["entry"]
    assert entry["fullUrl"] == f"{world.services.base}/DocumentReference/{id_}"
    assert entry["search"] == {"mode": "match"}


@pytest.mark.statement("dmp-fhir 9.7/109")
def test_an_empty_result_has_total_0_and_no_entry(dossier: Dossier, doctor: Client) -> None:
    answer = dossier.search(doctor)
    assert answer.json["total"] == 0
    assert "entry" not in answer.json


@pytest.mark.statement("dmp-fhir 9.7/110")
def test_attachment_urls_are_absolute_everywhere_and_retrievable(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    content = next_content()
    id_ = dossier.submit(content=content)
    found = dossier.search(doctor).entries[0]
    submission = dossier.found(doctor, type_="List")[0]
    prefer = {"Prefer": "return=representation"}
    patch = [{"op": "add", "path": "/securityLabel/-", "value": coded(samples.VISIBILITY, "MASQUE_PS")}]
    shown = [
        found,
        doctor.get(f"/DocumentReference/{id_}").json,
        doctor.get(f"/DocumentReference/{id_}/_history/1").json,
        doctor.get(f"/DocumentReference/{id_}/_history").json["entry"][0]["resource"],
        _included(doctor.get(f"/List?{dossier.criterion}&_include=List:item")),
        doctor.get(f"/Patient/{dossier.id}/DocumentReference").entries[0],
        doctor.patch(f"/DocumentReference/{id_}", patch, **prefer).json,
        dossier.read(id_),
    ]
    assert submission
    urls = {each["content"][0]["attachment"]["url"] for each in shown}
    assert len(urls) == 1
    (url,) = urls
    assert url.startswith(f"{world.services.base}/Binary/")
    assert doctor.get(url.removeprefix(world.services.base)).body == content


def _included(answer: object) -> Json:
    (found,) = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "include"]  # type: ignore[attr-defined]
    resource: Json = found
    return resource


@pytest.mark.statement("dmp-fhir 9.7/110")
def test_urls_are_absolute_in_the_representations_of_a_submission_too(world: World, dossier: Dossier) -> None:
    body = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    answer = world.doctor().post("", body, Prefer="return=representation")
    assert answer.status == 200, answer.body
    made, document, binary = (entry["resource"] for entry in answer.json["entry"])
    assert made["entry"] == [{"item": {"reference": f"DocumentReference/{document['id']}"}}]
    assert document["content"][0]["attachment"]["url"] == f"{world.services.base}/Binary/{binary['id']}"
    assert "data" not in binary


@pytest.mark.statement("dmp-fhir 9.7/111")
def test_relations_are_in_the_results(dossier: Dossier, doctor: Client) -> None:
    old = dossier.submit()
    new = dossier.replace(old)
    (found,) = dossier.search(doctor, "status=current").entries
    assert found["id"] == new
    assert found["relatesTo"] == [{"code": "replaces", "target": {"reference": f"DocumentReference/{old}"}}]
    assert dossier.found(doctor, f"relatesto=DocumentReference/{old}") == [new]
    assert dossier.found(doctor, f"relatesTo={old}") == [new]
    assert dossier.found(doctor, "relation=replaces") == [new]


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


@pytest.mark.statement("dmp-fhir 9.7/126")
def test_a_search_by_post_is_the_same(dossier: Dossier, doctor: Client) -> None:
    dossier.submit()
    got = dossier.search(doctor, "status=current&_count=10")
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = f"patient.identifier={escaped(f'{samples.INS}|{dossier.ins}')}&status=current"
    posted = doctor.call("POST", "/DocumentReference/_search?_count=10", body.encode(), form)
    assert posted.status == 200, posted.body
    assert posted.entries == got.entries
    assert posted.json["total"] == got.json["total"]


@pytest.fixture(scope="module")
def seven(world: World) -> tuple[Dossier, list[str]]:
    """A dossier of seven documents, and their ids."""
    dossier, _ = readable(world)
    return dossier, [dossier.submit(date=f"2026-0{1 + n % 3}-10T10:00:00+01:00") for n in range(7)]


@pytest.mark.statement("dmp-fhir 9.7/127")
@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-_lastUpdated", "&_sort=type,-date"])
def test_pages_hold_everything_once(world: World, seven: tuple[Dossier, list[str]], sort: str) -> None:
    (dossier, made), doctor = seven, world.doctor()
    answer = dossier.search(doctor, f"_count=3{sort}")
    assert answer.json["total"] == 7
    seen: list[str] = []
    for _ in range(9):
        seen += [each["id"] for each in answer.entries]
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            break
        answer = doctor.get(links["next"].removeprefix(world.services.base))
        assert answer.status == 200, answer.body
    assert len(seen) == 7
    assert set(seen) == set(made)


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_a_page_is_stable_while_documents_arrive(world: World, dossier: Dossier, doctor: Client) -> None:
    made = {dossier.submit() for _ in range(4)}
    first = dossier.search(doctor, "_count=2")
    dossier.submit()
    next_url = next(link["url"] for link in first.json["link"] if link["relation"] == "next")
    second = doctor.get(next_url.removeprefix(world.services.base))
    assert {each["id"] for each in (*first.entries, *second.entries)} == made


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_a_paging_link_belongs_to_its_caller_and_cannot_be_forged(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    for _ in range(3):
        dossier.submit()
    links = {link["relation"]: link["url"] for link in dossier.search(doctor, "_count=1").json["link"]}
    path = links["next"].removeprefix(world.services.base)
    assert_refused(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC).get(path), 400)
    assert_refused(doctor.get(path[:-2] + ("AA" if path[-2:] != "AA" else "BB")), 400)
    assert_refused(doctor.get(path.replace("/DocumentReference", "/List")), 400)


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_the_page_size_is_50_by_default_and_500_at_most(dossier: Dossier, doctor: Client) -> None:
    assert "_count=50" in dossier.search(doctor).json["link"][0]["url"]
    assert "_count=500" in dossier.search(doctor, "_count=100000").json["link"][0]["url"]


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


@pytest.mark.statement("dmp-fhir 9.7/130")
def test_sort_orders_by_any_key(dossier: Dossier, doctor: Client) -> None:
    march = dossier.submit(date="2026-03-10T10:00:00+01:00")
    january = dossier.submit(date="2026-01-10T10:00:00+01:00", type_=(samples.LOINC, OTHER_TYPE))
    april = dossier.submit(date="2026-04-10T10:00:00+01:00")
    assert dossier.found(doctor, "_sort=date") == [january, march, april]
    assert dossier.found(doctor, "_sort=-date") == [april, march, january]
    assert dossier.found(doctor, "_sort=-_lastUpdated") == [april, january, march]
    assert dossier.found(doctor, "_sort=type,-date") == [april, march, january]
    assert dossier.found(doctor, "_sort=period") == [january, march, april]


@pytest.mark.statement("dmp-fhir 9.7/130")
def test_summary_elements_and_total(dossier: Dossier, doctor: Client) -> None:
    dossier.submit()
    dossier.submit()
    counted = dossier.search(doctor, "_summary=count")
    assert (counted.json["total"], "entry" in counted.json) == (2, False)
    for each in dossier.search(doctor, "_elements=status,masterIdentifier").entries:
        assert {"masterIdentifier", "status"} <= set(each)
        assert "author" not in each
        assert "description" not in each
        assert "SUBSETTED" in {tag["code"] for tag in each["meta"]["tag"]}
    for each in dossier.search(doctor, "_summary=true").entries:
        assert "SUBSETTED" in {tag["code"] for tag in each["meta"]["tag"]}
    # [dmp-fhir 3.4] the total of a document search is always given.
    for total in ("none", "estimate", "accurate"):
        assert dossier.search(doctor, f"_total={total}&_count=1").json.get("total", 2) == 2
    assert dossier.search(doctor, "_count=0").json["total"] == 2


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


@pytest.mark.statement("dmp-fhir 9.7/138")
def test_revinclude_brings_the_submission_sets_of_the_documents(dossier: Dossier, doctor: Client) -> None:
    ids = {dossier.submit() for _ in range(2)}
    answer = dossier.search(doctor, "_revinclude=List:item")
    assert answer.json["total"] == 2
    included = [e for e in answer.json["entry"] if e["search"]["mode"] == "include"]
    assert {e["resource"]["entry"][0]["item"]["reference"].split("/")[1] for e in included} == ids
    assert all(e["fullUrl"].endswith(f"/List/{e['resource']['id']}") for e in included)


@pytest.mark.statement("dmp-fhir 9.7/138")
def test_include_brings_the_patient_once(dossier: Dossier, doctor: Client) -> None:
    for _ in range(2):
        dossier.submit()
    answer = dossier.search(doctor, "_include=DocumentReference:patient")
    included = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "include"]
    assert [each["id"] for each in included] == [dossier.id]


@pytest.fixture(scope="module")
def lists(world: World) -> tuple[Dossier, dict[str, str]]:
    """A submission set with an authoring structure, another one, and a folder."""
    dossier, doctor = readable(world)
    first = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    made = first["entry"][0]["resource"]
    made["title"] = "Consultation annuelle"
    made["date"] = "2026-02-02T10:00:00+01:00"
    made["source"] = {
        "extension": [
            {"url": f"{samples.MHD}/StructureDefinition/ihe-authorOrg", "valueReference": {"reference": "#structure"}}
        ],
        "reference": "#role",
    }
    made["extension"][0]["valueCodeableConcept"] = coded(samples.SECTORS, "SA05")
    made["extension"][1]["valueIdentifier"]["value"] = "urn:oid:1.2.250.1.999.8.1"
    url = first["entry"][1]["fullUrl"]
    folder = samples.submission_set(next_oid(), [url], ins=dossier.ins, title="Suivi")
    for name in ("source", "contained"):
        del folder[name]
    folder["meta"] = {"profile": [f"{samples.PDSM}/pdsm-folder-comprehensive"]}
    folder["code"] = coded(f"{samples.MHD}/CodeSystem/MHDlistTypes", "folder")
    first["entry"].append({"fullUrl": f"{url[:-1]}7", "resource": folder, "request": {"method": "POST", "url": "List"}})
    answer = doctor.post("", first)
    assert answer.status == 200, answer.body
    places = [entry["response"]["location"].split("/")[1] for entry in answer.json["entry"]]
    other = doctor.post("", samples.submission(next_oid(), ins=dossier.ins, content=next_content()))
    return dossier, {
        "set": places[0],
        "folder": places[3],
        "document": places[1],
        "unique": made["identifier"][0]["value"],
        "other": other.json["entry"][0]["response"]["location"].split("/")[1],
    }


@pytest.mark.statement("dmp-fhir 9.7/131")
def test_the_submission_sets_are_found_without_folders(world: World, lists: tuple[Dossier, dict[str, str]]) -> None:
    (dossier, made), doctor = lists, world.doctor()
    sets = {made["set"], made["other"]}
    assert set(dossier.found(doctor, "code=submissionset&status=current", "List")) == sets
    assert dossier.found(doctor, "code=folder", "List") == [made["folder"]]
    system = f"{samples.MHD}/CodeSystem/MHDlistTypes"
    for spelling in (system, system.replace("https:", "http:")):
        assert set(dossier.found(doctor, f"code={spelling}|submissionset", "List")) == sets


@pytest.mark.statement("dmp-fhir 9.7/132", "dmp-fhir 9.7/133")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("date=2026-02-02", "set"),
        ("date=ge2026-06-01&code=submissionset", "other"),
        ("identifier=urn:ietf:rfc:3986|{unique}", "set"),
        ("title=consultation", "set"),
        ("title:contains=ANNUELLE", "set"),
        ("title=suivi", "folder"),
        (f"designationType={samples.SECTORS}|SA05", "set"),
        ("designationType=SA05", "set"),
        ("sourceId=urn:oid:1.2.250.1.999.8.1", "set"),
        ("sourceId=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.8.1", "set"),
        ("source.family=carlier", "set other"),
        ("source:PractitionerRole.family=carlier", "set other"),
        ("source.given=hippolyte", "set other"),
        ("item=DocumentReference/{document}", "set folder"),
        ("item={document}&code=submissionset", "set"),
        (f"authorOrg.identifier=urn:oid:1.2.250.1.71.4.2.2|{samples.HOSPITAL}", "set"),
        ("status=current", "set other folder"),
        ("isArchived=false", "set other folder"),
    ],
)
def test_lists_are_found_by_every_parameter(
    world: World, lists: tuple[Dossier, dict[str, str]], query: str, names: str
) -> None:
    dossier, made = lists
    found = dossier.found(world.doctor(), query.format(**made), "List")
    assert set(found) == {made[name] for name in names.split()}


@pytest.mark.statement("dmp-fhir 9.7/133")
def test_author_org_finds_the_extension_on_the_source(world: World, dossier: Dossier, doctor: Client) -> None:
    organization = world.admin.post("/Organization", {"resourceType": "Organization", "name": "Clinique"}).json["id"]
    made = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    place = {"reference": f"Organization/{organization}"}
    made["entry"][0]["resource"]["source"] = {
        "extension": [{"url": f"{samples.MHD}/StructureDefinition/ihe-authorOrg", "valueReference": place}],
        "reference": "#role",
    }
    answer = doctor.post("", made)
    assert answer.status == 200, answer.body
    id_ = answer.json["entry"][0]["response"]["location"].split("/")[1]
    dossier.submit()
    assert dossier.found(doctor, f"authorOrg=Organization/{organization}", "List") == [id_]
    assert dossier.found(doctor, "authorOrg.name=clinique", "List") == [id_]


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
