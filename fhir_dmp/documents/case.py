"""One submission under decision: its entries, what was gathered, the rules, who submits and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhir_dmp.cda.header import Header
from fhir_dmp.documents.contents import Content
from fhir_dmp.documents.links import Resolve, resolver
from fhir_dmp.documents.metadata import attachment_of
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.slices import Entry, Slice
from fhir_dmp.documents.survey import Gathered
from fhir_dmp.errors import Issue, PreconditionFailed, Unprocessable
from fhir_dmp.fhir.elements import text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.identity.caller import Caller


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that the checks of a submission look at.

    existing: entries whose ifNoneExist found a resource. urls: entries by fullUrl; own: every fullUrl, standing for
    itself, as the links of the bundle.
    """

    entries: tuple[Entry, ...]
    gathered: Gathered
    rules: Rules
    caller: Caller
    now_ms: int
    existing: Mapping[int, Held]
    urls: Mapping[str, Entry]
    own: Mapping[str, str]

    def of(self, *slices: Slice) -> list[Entry]:
        """Return the entries of these slices, in request order."""
        return [entry for entry in self.entries if entry.slice in slices]

    def created(self, *slices: Slice) -> list[Entry]:
        """Return those entries of these slices that really create something."""
        return [entry for entry in self.of(*slices) if entry.index not in self.existing]

    def entry_at(self, text: str | None, referrer: Entry, resolve: Resolve | None = None) -> Entry | None:
        """Return the entry that a link of `referrer` points to, None when it points out of the bundle."""
        if text is None:
            return None
        find = resolve or resolver(self.own, self.rules.fhir_base, referrer.full_url)
        full_url = find(text)
        return self.urls.get(full_url) if full_url else None

    def content_of(self, document: Entry) -> Content | None:
        """Return the content that a document's attachment points to."""
        entry = self.entry_at(text_of(attachment_of(document.resource).get("url")), document)
        if entry is None or entry.slice not in (Slice.CONTENT, Slice.FHIR_DOCUMENT):
            return None
        return Content(entry, self.gathered.blobs.get(entry.index))

    def cda_of(self, document: Entry) -> Header | None:
        """Return the header of the CDA that a document describes, None when its content is none."""
        content = self.content_of(document)
        # ITI-105 has one entry: document and content at once.
        return self.gathered.headers.get(document.index if content is None else content.entry.index)


def open_case(entries: Sequence[Entry], gathered: Gathered, rules: Rules, caller: Caller, now_ms: int) -> Case:
    """Return the case of these entries.

    Raises:
        PreconditionFailed: the criterion of a conditional create finds several resources.
    """
    urls: dict[str, Entry] = {}
    for entry in entries:
        if entry.full_url:
            urls.setdefault(entry.full_url, entry)
    existing = _matched(entries, gathered)
    return Case(tuple(entries), gathered, rules, caller, now_ms, existing, urls, {url: url for url in urls})


def _matched(entries: Iterable[Entry], gathered: Gathered) -> dict[int, Held]:
    """Return what each conditional create found already, by entry."""
    existing = {}
    for entry in entries:
        if not entry.if_none_exist:
            continue
        found = gathered.found.get(f"{entry.resource.get('resourceType')}?{entry.if_none_exist}", ())
        if len(found) > 1:
            raise PreconditionFailed(
                "The criterion of this conditional create finds several resources.",
                code="multiple-matches",
                expression=f"Bundle.entry[{entry.index}].request.ifNoneExist",
            )
        if found:
            existing[entry.index] = found[0]
    return existing


def refuse(issues: Iterable[Issue]) -> list[Issue]:
    """Return the issues when none is an error.

    Raises:
        Unprocessable: with every error.
    """
    found = list(issues)
    errors = [issue for issue in found if issue.severity in ("error", "fatal")]
    if errors:
        raise Unprocessable(issues=errors)
    return found
