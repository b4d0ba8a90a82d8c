"""capabilities: the CapabilityStatement, made from the tables that the server runs on, so that it cannot lie.

https://hl7.org/fhir/R4/capabilitystatement.html; what a DMP declares: dmp-fhir section 8.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from fhir_dmp import __version__
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import VERSION_AWARE, offered
from fhir_dmp.interactions.operations import OPERATIONS, Operation
from fhir_dmp.interactions.operations.expand import DECLARED as EXPANSION_PARAMETERS
from fhir_dmp.interactions.services import Services
from fhir_dmp.search.parameters import SearchParameter
from fhir_dmp.terminology.aliases import UCUM
from fhir_dmp.terminology.national import FR_CORE
from fhir_dmp.terminology.sharing import COMPREHENSIVE, FOLDER, MHD, PDSM, PROVIDE_BUNDLE, SIMPLIFIED, SUBMISSION_SET

INSTANTIATES = (
    f"{PDSM}/CapabilityStatement/PDSm-GestionnaireDePartageDeDocuments",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentRecipient.Comprehensive",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentRecipient.Simplified",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentResponder",
)
PROFILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "DocumentReference": (
        COMPREHENSIVE,
        (SIMPLIFIED,),
    ),
    "List": (
        SUBMISSION_SET,
        (FOLDER,),
    ),
    "Binary": ("http://hl7.org/fhir/StructureDefinition/Binary", ()),
    "Patient": (f"{FR_CORE}/StructureDefinition/fr-core-patient-ins", ()),
}
_INTERACTION = {
    "read": ("read",),
    "vread": ("vread",),
    "history": ("history-instance", "history-type"),
    "search": ("search-type",),
    "create": ("create",),
    "update": ("update",),
    "patch": ("patch",),
    "delete": ("delete",),
}
#: The modifiers of each type of search parameter.
MODIFIERS = {
    "string": ":missing, :exact, :contains, :text",
    "token": ":missing, :not, :text, :in, :not-in, :above, :below, :of-type",
    "reference": ":missing, :identifier, :[type]",
    "uri": ":missing, :above, :below",
    "date": ":missing",
    "number": ":missing",
    "quantity": ":missing",
}
MODES = ("full", "normative", "terminology")
FORMATS = ("application/fhir+json", "application/fhir+xml", "json", "xml")
PATCH_FORMATS = (
    "application/json-patch+json",
    "application/fhir+json",
    "application/fhir+xml",
    "application/xml-patch+xml",
)


def metadata(call: Call, services: Services) -> Answer:
    """Answer `GET [base]/metadata`; no token is needed."""
    mode = next((value for name, value in call.query if name == "mode"), "full")
    if mode not in MODES:
        raise BadRequest(f"mode is one of {', '.join(MODES)}.", code="value", expression="mode")
    body, tag = _printed(services, mode, call.info.base)
    return Answer(body=body, headers=(("Cache-Control", "public, max-age=60"), ("ETag", tag)))


@lru_cache(maxsize=32)
def _printed(services: Services, mode: str, base: str) -> tuple[bytes, str]:
    """Return the statement as it is sent under this public URL, and its entity tag."""
    made = _terminology(services) if mode == "terminology" else statement(services)
    body = dump({**made, "implementation": {"description": "fhir-dmp", "url": base}})
    return body, f'W/"{sha256(body).hexdigest()[:16]}"'


def _terminology(services: Services) -> Json:
    """Return the terminology part: the loaded code systems, and how value sets are expanded, asked and translated.

    What administrators store is found by searching CodeSystem.
    """
    systems = sorted({UCUM, *services.terminology.code_system_urls})
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{services.canonical}/TerminologyCapabilities/fhir-dmp",
        "name": "FhirDmpTerminology",
        "status": "active",
        "date": instant(services.started_ms),
        "kind": "instance",
        "software": {"name": "fhir-dmp", "version": __version__},
        "codeSystem": [{"uri": url} for url in systems],
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in EXPANSION_PARAMETERS],
            "textFilter": "Every word begins a word of a display, a designation or the code; case and accents apart.",
        },
        "codeSearch": "all",
        "validateCode": {"translations": False},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }


@lru_cache(maxsize=8)
def statement(services: Services) -> Json:
    """Return the CapabilityStatement of this server."""
    types = list(services.types)
    return {
        "resourceType": "CapabilityStatement",
        "id": "fhir-dmp",
        "url": f"{services.canonical}/CapabilityStatement/fhir-dmp",
        "name": "FhirDmp",
        "title": "Dossier médical partagé, FHIR R4",
        "status": "active",
        "date": instant(services.started_ms),
        "kind": "instance",
        "instantiates": list(INSTANTIATES),
        "software": {"name": "fhir-dmp", "version": __version__},
        "implementation": {"description": "fhir-dmp", "url": services.base},
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "implementationGuide": [f"{PDSM}/ImplementationGuide/ans.fhir.fr.pdsm"],
        "rest": [_rest(types, services)],
    }


def published(services: Services) -> Json:
    """Return what any server of this kind can do, for the package of its profiles: nothing of this installation."""
    made = {key: value for key, value in statement(services).items() if key != "implementation"}
    (rest,) = made["rest"]
    security = {key: value for key, value in rest["security"].items() if key != "extension"}
    day = instant(services.started_ms)[:10]
    return {**made, "version": __version__, "date": day, "kind": "capability", "rest": [{**rest, "security": security}]}


def _rest(types: list[str], services: Services) -> Json:
    interactions = [{"code": "batch"}, {"code": "search-system"}, {"code": "history-system"}]
    if services.store.transactional:
        interactions.insert(0, {"code": "transaction", "documentation": f"ITI-65: {PROVIDE_BUNDLE}"})
    return {
        "mode": "server",
        "documentation": f"Dates without offset are read in {services.settings.server.timezone}.",
        "security": _security(services),
        "resource": [_resource(type_, services) for type_ in types],
        "interaction": interactions,
        "searchParam": [_parameter(p) for p in services.registry.of("Basic") if p.code.startswith("_")],
        "operation": [_operation(op, services) for op in OPERATIONS.values() if "system" in op.levels],
        "compartment": [f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in services.compartments],
    }


def _security(services: Services) -> Json:
    service = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
    told: Json = {"extension": list(services.oauth_uris)} if services.oauth_uris else {}
    return {
        **told,
        "cors": True,
        "service": [{"coding": [service], "text": "OAuth 2 bearer tokens with SMART scopes"}],
        "description": "Every request but this one needs a signed access token; every access is decided and audited.",
    }


def _parameter(parameter: SearchParameter) -> Json:
    shown: Json = {"name": parameter.code, "type": parameter.type}
    if parameter.url:
        shown["definition"] = parameter.url
    if parameter.type in MODIFIERS and parameter.code != "_id":
        shown["documentation"] = f"Modifiers: {_modifiers(parameter)}"
    return shown


def _modifiers(parameter: SearchParameter) -> str:
    """Return the modifiers of a parameter; only identifiers have a type of their own."""
    listed = MODIFIERS[parameter.type]
    typed = not parameter.kinds or "Identifier" in parameter.kinds
    return listed if typed else listed.replace(", :of-type", "")


@lru_cache(maxsize=8)
def _referring(services: Services) -> dict[str, list[str]]:
    """Return, for each type, the reference parameters of searchable types that may point to it."""
    found: dict[str, list[str]] = {}
    for source in services.registry.types:
        if "search" not in offered(source):
            continue
        for parameter in services.registry.of(source):
            if parameter.type == "reference" and not parameter.is_contained_chain:
                for target in parameter.targets:
                    found.setdefault(target, []).append(f"{source}:{parameter.code}")
    return found


def _resource(type_: str, services: Services) -> Json:
    here = offered(type_)
    shown: Json = {"type": type_}
    if type_ in PROFILES:
        profile, supported = PROFILES[type_]
        shown["profile"] = profile
        if supported:
            shown["supportedProfile"] = list(supported)
    shown["interaction"] = [{"code": code} for name, codes in _INTERACTION.items() if name in here for code in codes]
    shown["versioning"] = "versioned-update" if type_ in VERSION_AWARE else "versioned"
    shown["readHistory"] = "history" in here
    shown["updateCreate"] = "update" in here and type_ != "DocumentReference"
    shown["conditionalCreate"] = "create" in here
    shown["conditionalRead"] = "full-support"
    # PDSm declares conditional patch by this flag, R4 having no other.
    shown["conditionalUpdate"] = "update" in here or "patch" in here
    if "delete" in here:
        shown["conditionalDelete"] = "single"
    shown["referencePolicy"] = ["literal", "logical", "local"]
    parameters = [p for p in services.registry.of(type_) if not p.is_contained_chain and not p.code.startswith("_")]
    if "search" in here:
        references = [p.code for p in parameters if p.type == "reference"]
        if references:
            shown["searchInclude"] = [f"{type_}:{name}" for name in references]
        reverse = _referring(services).get(type_)
        if reverse:
            shown["searchRevInclude"] = reverse
        if parameters:
            shown["searchParam"] = [_parameter(p) for p in parameters]
    operations = [_operation(op, services, type_) for op in OPERATIONS.values() if op.on(type_)]
    if operations:
        shown["operation"] = operations
    return shown


def _operation(operation: Operation, services: Services, type_: str = "") -> Json:
    return {"name": operation.name, "definition": operation.canonical(services.canonical, type_)}
