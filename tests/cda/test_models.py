"""The model of every public document, by its own template, in whatever order templates stand. [cda 1.2, 1.3]"""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_dmp.cda.elements import children
from fhir_dmp.cda.header import UNSTRUCTURED, header_of, read_header
from fhir_dmp.cda.xml import clinical_document, parse

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/cda"
_ROOT = "1.2.250.1.213.1.1.1."
#: Names of models, with what follows the common root of their templates.
_MODELS = {
    "ANEST-CR-ANEST": "40",
    "ANEST-CR-CPA": "41",
    "AVC-AUNV": "15",
    "AVC-EUNV": "16",
    "AVC-PAVC": "25",
    "AVC-SUNV": "17",
    "BIO-CR-BIO": "55",
    "BIO-TROD": "59",
    "CANCER-CR-GM": "32",
    "CANCER-D2LM-FIDD": "28",
    "CANCER-D2LM-FIN": "27",
    "CANCER-FRCP": "8",
    "CANCER-PPS": "26",
    "CARD-F-PRC-AVK": "2.1.1",
    "CARD-F-PRC-DCI": "2.1.3",
    "CARD-F-PRC-PPV": "2.1.5",
    "CARD-F-PRC-PSC": "2.1.4",
    "CARD-F-PRC-TAP": "2.1.2",
    "CNAM-HR": "36",
    "CSE-CS24": "5.3",
    "CSE-CS8": "5.1",
    "CSE-CS9": "5.2",
    "CSE-MDE": "5.4",
    "DLU-DLU": "22",
    "DLU-FLUDR": "24",
    "DLU-FLUDT": "23",
    "DLU-FT-SU": "61",
    "IMG-CR-IMG": "45",
    "IMG-DA-IMG": "47",
    "IPS-FR": "51",
    "LDL-EES": "21",
    "LDL-SES": "29",
    "OBP-SAP": "12.1",
    "OBP-SCM": "12.4",
    "OBP-SEM": "12.5",
    "OBP-SNE": "12.3",
    "OBP-SNM": "12.2",
    "OPH-BRE": "42",
    "OPH-CR-RTN": "18",
    "SDM-MR": "30",
    "TD-DUI": "58",
    "TLM-DA": "38",
    "VAC": "37",
    "VAC-NOTE": "46",
    "VSM": "13",
    "eDISP-MED": "54",
    "eP-MED-DM": "39",
    "PPS-PAERPA": "20",
}
_OLD_LABORATORY = "1.3.6.1.4.1.19376.1.3.3"


def root_of(name: str) -> str:
    """Return the template of a model by its name."""
    if name.startswith("level-1"):
        return UNSTRUCTURED
    return _OLD_LABORATORY if name == "CR-BIO (old)" else _ROOT + _MODELS[name]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public documents are not here")
@pytest.mark.statement("cda A3")
def test_every_public_document_has_the_model_that_its_list_names() -> None:
    lines = (SHARED / "README.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if ".xml |" in line]
    assert len(rows) > 150
    for file, name, *_ in rows:
        data = (SHARED / file).read_bytes()
        assert read_header(data).model == root_of(name), file
        document = clinical_document(parse(data))
        templates = list(children(document, "templateId"))
        place = document.index(templates[0])
        for each in templates:
            document.remove(each)
        for each in templates:
            document.insert(place, each)
        assert header_of(document).model == root_of(name), f"{file}, templates in the other order"
