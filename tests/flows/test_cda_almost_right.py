"""Documents that are almost right, on both sides, through the operations: answered, never failed on. [cda 8, 9 A9]"""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from fhir_dmp.fhir.resource import dump
from tests.cda.making import converted, document, entry, section
from tests.cda.statements import DONE, PRODUCT, RESULT, listed, problem, treatment
from tests.cda.test_header import LEVEL_3
from tests.cda.test_writing import bundle, reference
from tests.fuzz.answers import judge
from tests.fuzz.oddities import ODD_TEXTS, ODD_VALUES
from tests.world import Response, World

XML, JSON = "application/xml", "application/fhir+json"
RICH = document(section(listed(problem("P-1", "J45")) + entry(treatment(DONE + PRODUCT, "E42")) + entry(RESULT)))
_NAMES = ("extension", "code", "value", "reference", "id", "text", "contained", "coding", "identifier")
_TYPES = ("CD", "PQ", "IVL_TS", "TS", "ST", "BL", "INT", "IVL_PQ", "RTO", "ED", "zz", "PIVL_TS", "SXPR_TS")
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(one, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def changed(resource: Any, chance: random.Random) -> Any:
    """Return a resource with one to three places that are not what they should be."""
    found = copy.deepcopy(resource)
    for _ in range(chance.choice((1, 1, 2, 3))):
        paths = [one for one in _paths(found) if one]
        path = chance.choice(paths)
        holder, key = _at(found, path[:-1]), path[-1]
        how = chance.randrange(5)
        if how == 0:
            del holder[key]
        elif how == 1:
            holder[key] = chance.choice((*ODD_VALUES, *ODD_TEXTS))
        elif how == 2:
            holder[key] = copy.deepcopy(_at(found, chance.choice(paths)))
        elif how == 3 and isinstance(holder, dict):
            holder[chance.choice(_NAMES)] = holder.pop(key)
        else:
            holder[key] = [holder[key]]
    return found


def altered(data: bytes, chance: random.Random) -> bytes:
    """Return a CDA with some elements removed, doubled, moved, renamed, emptied or of another type."""
    root = etree.fromstring(data)
    for _ in range(chance.choice((1, 2, 3, 5))):
        elements = [one for one in root.iter() if isinstance(one.tag, str)]
        one = chance.choice(elements)
        parent, how = one.getparent(), chance.randrange(7)
        text = "".join(letter for letter in chance.choice(ODD_TEXTS) if letter.isprintable())
        if how == 0 and parent is not None:
            parent.remove(one)
        elif how == 1 and one.attrib:
            one.set(chance.choice(list(one.attrib)), text)
        elif how == 2:
            one.text = text
        elif how == 3 and parent is not None:
            parent.append(copy.deepcopy(one))
        elif how == 4:
            one.tag = chance.choice(elements).tag
        elif how == 5:
            one.set("nullFlavor", chance.choice(("UNK", "OTH", "zz", "")))
        else:
            one.set(_XSI, chance.choice(_TYPES))
    return etree.tostring(root)


def called(world: World, path: str, body: bytes, type_: str) -> Response:
    """Call an operation: an answer within three seconds of processor time, and no failure."""
    started = time.process_time()
    answer = world.doctor().post(path, body, Content_Type=type_)
    assert time.process_time() - started < 3
    judge(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body, "POST")
    return answer


@pytest.mark.parametrize("seed", range(4))
def test_a_fhir_document_that_is_almost_right_is_answered(world: World, seed: int) -> None:
    chance = random.Random(seed)
    whole = [bundle(), reference(), converted(RICH).bundle]
    for _ in range(40):
        sent = changed(json.loads(dump(whole[chance.randrange(len(whole))])), chance)
        type_ = "DocumentReference" if isinstance(sent, dict) and "content" in sent else "Bundle"
        answer = called(world, f"/{type_}/$fhir-to-cda", json.dumps(sent).encode(), JSON)
        if answer.status == 200 and answer.headers["Content-Type"].startswith(XML):
            called(world, "/Binary/$cda-to-fhir", answer.body, XML)


@pytest.mark.statement("cda A9")
@pytest.mark.parametrize("seed", range(4))
def test_a_cda_that_is_almost_right_is_read_and_comes_back(world: World, seed: int) -> None:
    chance = random.Random(100 + seed)
    for _ in range(20):
        data = altered(chance.choice((RICH, LEVEL_3)), chance)
        called(world, "/DocumentReference/$generate-metadata", data, XML)
        answer = called(world, "/Binary/$cda-to-fhir", data, XML)
        if answer.status == 200:
            found = answer.json
            inside = found if found["resourceType"] == "Bundle" else found["parameter"][0]["resource"]
            called(world, "/Bundle/$fhir-to-cda", json.dumps(inside).encode(), JSON)


@pytest.mark.parametrize("act", ["\\, x y", "", "section OBS EVN", "observation"])
def test_the_extension_of_an_act_that_is_none_says_nothing(world: World, act: str) -> None:
    found = converted(RICH).bundle
    sent = json.loads(dump(found))
    for one in sent["entry"]:
        for extension in one["resource"].get("extension", ()):
            for part in extension.get("extension", ()):
                if part["url"] == "act":
                    part["valueString"] = act or "-"
    assert called(world, "/Bundle/$fhir-to-cda", json.dumps(sent).encode(), JSON).status == 200
