"""Operations ($name), one module each, in one table from which routes and the CapabilityStatement come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.errors import MethodNotAllowed, NotFound
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import offered
from fhir_dmp.interactions.operations import (
    access_history,
    dmp_autoriser,
    dmp_bloquer,
    dmp_debloquer,
    dmp_fermer,
    dmp_medecin_traitant,
    dmp_opposition,
    dmp_reactiver,
    dmp_revoquer,
    dmp_verifier_acces,
    notifications,
)
from fhir_dmp.interactions.operations.convert import cda_to_fhir, fhir_to_cda
from fhir_dmp.interactions.operations.dmp_ouvrir import KIND as OPENING_KIND
from fhir_dmp.interactions.operations.dmp_ouvrir import open_dossier
from fhir_dmp.interactions.operations.docref import docref
from fhir_dmp.interactions.operations.document import document
from fhir_dmp.interactions.operations.everything import everything
from fhir_dmp.interactions.operations.expand import expand
from fhir_dmp.interactions.operations.generate_metadata import generate_metadata
from fhir_dmp.interactions.operations.lookup import lookup, subsumes
from fhir_dmp.interactions.operations.meta import meta, meta_add, meta_delete
from fhir_dmp.interactions.operations.translate import translate
from fhir_dmp.interactions.operations.validate import validate
from fhir_dmp.interactions.operations.validate_code import validate_code
from fhir_dmp.interactions.operations.versions import versions
from fhir_dmp.interactions.operations.xdm import xdm
from fhir_dmp.interactions.services import Services

#: Stands for every resource type.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: where it is offered and by which methods.

    levels: system, type, instance. types: resource types, or ANY. looks: it reads stored versions; changes: it rewrites
    the instance, as a patch does. kind: how the audit tells a call, even a refused one. definition: its canonical URL,
    in which `{type}` stands for the resource type.
    """

    name: str
    run: Callable[[Call, Services], Answer]
    levels: frozenset[str]
    types: frozenset[str]
    methods: tuple[str, ...] = ("POST",)
    looks: bool = False
    changes: bool = False
    definition: str = ""
    kind: str = "operation"

    def canonical(self, base: str, type_: str = "") -> str:
        """Return the canonical URL of the OperationDefinition, as it is offered on a type."""
        return self.definition.format(type=type_) or f"{base}/OperationDefinition/{self.name}"

    def on(self, type_: str) -> bool:
        """Say whether it is offered on a type or its instances."""
        if not self.levels & {"type", "instance"}:
            return False
        needed = {"patch"} if self.changes else {"vread"} if self.looks else set()
        return (ANY in self.types or type_ in self.types) and needed <= offered(type_)


def _on_dossier(name: str, run: Callable[[Call, Services], Answer], kind: str, *levels: str) -> Operation:
    """Return an operation on a dossier: on its Patient, or on the type with the INS as `identifiant`."""
    return Operation(name, run, frozenset(levels or ("type", "instance")), frozenset({"Patient"}), kind=kind)


def _on_definitions(name: str, run: Callable[[Call, Services], Answer], *types: str) -> Operation:
    """Return an operation on terminology, defined by R4 for each of the types."""
    return Operation(
        name,
        run,
        frozenset({"type"} if name == "lookup" else {"type", "instance"}),
        frozenset(types),
        ("GET", "POST"),
        definition="http://hl7.org/fhir/OperationDefinition/{type}-" + name,
    )


_TERMINOLOGY = (
    _on_definitions("expand", expand, "ValueSet"),
    _on_definitions("validate-code", validate_code, "ValueSet", "CodeSystem"),
    _on_definitions("lookup", lookup, "CodeSystem"),
    _on_definitions("subsumes", subsumes, "CodeSystem"),
    _on_definitions("translate", translate, "ConceptMap"),
)

OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (
        _on_dossier("dmp-ouvrir", open_dossier, OPENING_KIND, "type"),
        _on_dossier("dmp-fermer", dmp_fermer.close_dossier, dmp_fermer.KIND),
        _on_dossier("dmp-reactiver", dmp_reactiver.reopen_dossier, dmp_reactiver.KIND),
        _on_dossier("dmp-autoriser", dmp_autoriser.authorise_access, dmp_autoriser.KIND),
        _on_dossier("dmp-revoquer", dmp_revoquer.revoke_access, dmp_revoquer.KIND),
        _on_dossier("dmp-bloquer", dmp_bloquer.block_professional, dmp_bloquer.KIND),
        _on_dossier("dmp-debloquer", dmp_debloquer.unblock_professional, dmp_debloquer.KIND),
        _on_dossier("dmp-medecin-traitant", dmp_medecin_traitant.designate_doctor, dmp_medecin_traitant.KIND),
        _on_dossier("dmp-verifier-acces", dmp_verifier_acces.check_access, dmp_verifier_acces.KIND),
        _on_dossier("dmp-opposition", dmp_opposition.oppose, dmp_opposition.KIND),
        Operation(
            "access-history",
            access_history.access_history,
            frozenset({"instance"}),
            frozenset({"Patient"}),
            ("GET", "POST"),
            kind=access_history.KIND,
        ),
        _on_dossier("notifications", notifications.notifications, notifications.KIND, "instance"),
        Operation(
            "validate",
            validate,
            frozenset({"type", "instance"}),
            frozenset({ANY}),
            definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
        ),
        Operation("cda-to-fhir", cda_to_fhir, frozenset({"type", "instance"}), frozenset({"Binary"})),
        Operation(
            "fhir-to-cda", fhir_to_cda, frozenset({"type"}), frozenset({"Binary", "Bundle", "DocumentReference"})
        ),
        Operation("generate-metadata", generate_metadata, frozenset({"type"}), frozenset({"DocumentReference"})),
        Operation("xdm", xdm, frozenset({"instance"}), frozenset({"DocumentReference"}), ("GET", "POST")),
        Operation(
            "meta",
            meta,
            frozenset({"system", "type", "instance"}),
            frozenset({ANY}),
            ("GET", "POST"),
            looks=True,
            definition="http://hl7.org/fhir/OperationDefinition/Resource-meta",
        ),
        Operation(
            "meta-add",
            meta_add,
            frozenset({"instance"}),
            frozenset({ANY}),
            definition="http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
            changes=True,
        ),
        Operation(
            "meta-delete",
            meta_delete,
            frozenset({"instance"}),
            frozenset({ANY}),
            definition="http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
            changes=True,
        ),
        Operation(
            "everything",
            everything,
            frozenset({"instance"}),
            frozenset({"Patient"}),
            ("GET", "POST"),
            definition="http://hl7.org/fhir/OperationDefinition/Patient-everything",
        ),
        Operation(
            "docref",
            docref,
            frozenset({"type"}),
            frozenset({"DocumentReference"}),
            ("GET", "POST"),
            definition="http://hl7.org/fhir/us/core/OperationDefinition/docref",
        ),
        Operation(
            "document",
            document,
            frozenset({"instance"}),
            frozenset({"Composition"}),
            ("GET", "POST"),
            definition="http://hl7.org/fhir/OperationDefinition/Composition-document",
        ),
        *_TERMINOLOGY,
        Operation(
            "versions",
            versions,
            frozenset({"system"}),
            frozenset({ANY}),
            ("GET", "POST"),
            definition="http://hl7.org/fhir/OperationDefinition/CapabilityStatement-versions",
        ),
    )
}


def audit_kind(call: Call) -> str:
    """Return how the audit tells the call of an operation."""
    found = OPERATIONS.get(call.path[-1][1:])
    return found.kind if found else "operation"


def operation(call: Call, services: Services) -> Answer:
    """Run the operation that the path names.

    Raises:
        NotFound: unknown here.
        MethodNotAllowed: known, by another method.
    """
    name = call.path[-1][1:]
    found = OPERATIONS.get(name)
    level = {1: "system", 2: "type", 3: "instance"}.get(len(call.path), "")
    type_ = call.path[0] if len(call.path) > 1 else ""
    if len(call.path) > 1 and not services.is_offered(type_):
        raise NotFound("This server has no such resource type.", code="not-supported")
    if found is None or level not in found.levels or not (level == "system" or found.on(type_)):
        raise NotFound("There is no such operation here; /metadata lists those offered.", code="not-supported")
    if call.method not in found.methods:
        allow = ", ".join([*found.methods, "OPTIONS"])
        raise MethodNotAllowed(f"This operation is called by {allow}.", headers={"Allow": allow})
    return found.run(call, services)
