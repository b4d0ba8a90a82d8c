"""What one judgement carries through a resource: the issues so far, the resource around, and what is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_dmp.errors import Coding, Issue
from fhir_dmp.fhir.path_values import Environment, Item
from fhir_dmp.fhir.resource import Json
from fhir_dmp.validation.findings import MAX_ISSUES, Enough

#: Judges one occurrence: value, its `_name` twin, where it stands (a FHIRPath expression), the run.
Judge = Callable[[Any, Any, str, "Run"], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One statement of a profile, and what is said when it is broken.

    name: what is wanted (`min`, `max`, `pattern`, `slicing`, or the key of a constraint); element: the element's id.
    """

    profile: str
    element: str
    name: str
    code: str
    text: str
    severity: str = "error"

    def broken(self, path: str) -> Issue:
        """Return the issue; it names the place, the rule and the profile."""
        said = f"{self.text} (rule {self.name} of {self.element}, profile {self.profile})"
        return Issue(self.code, said, self.severity, (path,), (Coding(self.profile, f"{self.element}#{self.name}"),))


class Run:
    """One judgement of one resource.

    root: the outermost resource around the node; resource: the innermost one (a contained resource). at_hand: what
    references lead to inside a Bundle. seen: (node, profile) pairs in progress, against endless recursion.
    done: pairs that were judged, so that nothing is told twice. applied: which declared profiles count.
    first: stop at the first error, for "does it conform?".
    """

    __slots__ = ("applied", "at_hand", "done", "first", "issues", "resource", "root", "seen")

    def __init__(self, root: Json, *, first: bool = False) -> None:
        self.root = root
        self.resource = root
        self.at_hand: dict[str, Json] = {}
        self.issues: list[Issue] = []
        self.first = first
        self.seen: set[tuple[int, str]] = set()
        self.done: set[tuple[int, str]] = set()
        self.applied: Callable[[str], bool] = lambda url: True

    def add(self, rule: Rule, path: str) -> None:
        """Note a broken rule.

        Raises:
            Enough: the judgement should stop here.
        """
        if self.first:
            if rule.severity == "error":
                raise Enough
            return
        self.note(rule.broken(path))

    def note(self, issue: Issue) -> None:
        """Note an issue.

        Raises:
            Enough: there are too many.
        """
        if len(self.issues) >= MAX_ISSUES:
            text = f"There are more than {MAX_ISSUES} issues; the rest is not listed."
            self.issues.append(Issue(code="too-costly", diagnostics=text, severity="information"))
            raise Enough
        self.issues.append(issue)

    def environment(self, context: Item) -> Environment:
        """Return what FHIRPath needs to judge a node of this resource."""
        made = Environment(Item(self.root), None, self.at_hand)
        if self.resource is not self.root:
            made.resource = Item(self.resource)
        made.context = context
        return made

    def conforms(self, judge: Judge, value: Any, path: str) -> bool:
        """Say whether a judge finds no error, without noting anything."""
        trial = Run(self.root, first=True)
        trial.resource, trial.at_hand, trial.seen = self.resource, self.at_hand, self.seen
        try:
            judge(value, None, path, trial)
        except Enough:
            return False
        return True

    def target(self, reference: Any) -> tuple[str, Json | None]:
        """Return (type, resource) that a Reference leads to: "" when nobody can tell, None when it is elsewhere."""
        if not isinstance(reference, dict):
            return "", None
        literal = reference.get("reference")
        if isinstance(literal, str):
            found = self.at_hand.get(literal) or (self._contained(literal[1:]) if literal[:1] == "#" else None)
            if found is not None:
                return str(found.get("resourceType", "")), found
            steps = literal.partition("?")[0].partition("/_history/")[0].split("/")
            if len(steps) > 1 and steps[-2][:1].isupper() and steps[-2].isalpha():
                return steps[-2], None
            if "?" in literal and steps[-1].isalpha():
                return steps[-1], None
        named = reference.get("type")
        return (named.rpartition("/")[2], None) if isinstance(named, str) else ("", None)

    def _contained(self, id_: str) -> Json | None:
        if not id_:
            return self.root
        parts = self.root.get("contained")
        listed = parts if isinstance(parts, list) else ()
        return next((part for part in listed if isinstance(part, dict) and part.get("id") == id_), None)


def entries_at_hand(bundle: Json) -> dict[str, Json]:
    """Return the resources of a Bundle by fullUrl, and by `Type/id` when the fullUrl ends so."""
    found: dict[str, Json] = {}
    for entry in bundle.get("entry", ()) if isinstance(bundle.get("entry"), list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        url = entry.get("fullUrl") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and isinstance(url, str):
            found[url] = resource
            short = "/".join(url.split("/")[-2:])
            if short.partition("/")[0] == resource.get("resourceType"):
                found.setdefault(short, resource)
    return found


def occurrences(
    node: Json, properties: tuple[tuple[str, str], ...], path: str, stem: str
) -> Iterator[tuple[Any, Any, str, str]]:
    """Yield (value, `_name` twin, place, type) of an element in an object; None as value where only the twin is."""
    for name, type_ in properties:
        value, extra = node.get(name), node.get(f"_{name}")
        if value.__class__ is list or extra.__class__ is list:
            values = value if isinstance(value, list) else ()
            extras = extra if isinstance(extra, list) else ()
            for index in range(max(len(values), len(extras))):
                one = values[index] if index < len(values) else None
                twin = extras[index] if index < len(extras) else None
                if one is not None or twin is not None:
                    yield one, twin, f"{path}.{stem}[{index}]", type_
        elif value is not None or extra is not None:
            yield value, extra, f"{path}.{stem}", type_
