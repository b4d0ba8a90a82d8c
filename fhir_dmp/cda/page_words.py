"""The labels and the style of the page of a CDA (`cda/page.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("fr", "en")
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "fr": {
        "skip": "Aller au contenu",
        "patient": "Patient",
        "birth-name": "Nom de naissance",
        "used-name": "Nom utilisé",
        "birth": "Né(e) le",
        "gender": "Sexe",
        "male": "masculin",
        "female": "féminin",
        "unknown": "non précisé",
        "ins": "Matricule INS",
        "numbers": "Autres identifiants",
        "people": "Professionnels",
        "author": "Auteur",
        "signer": "Responsable",
        "custodian": "Conservé par",
        "recipient": "Destinataire",
        "document": "Document",
        "type": "Type",
        "created": "Date de création",
        "act": "Acte",
        "place": "Lieu d’exercice",
        "confidentiality": "Confidentialité",
        "version": "Version",
        "id": "Identifiant",
        "replaced": "Remplace",
        "contents": "Sommaire",
        "attached": "Pièces jointes",
        "content": "Contenu du document",
        "not-shown": "ce contenu ne peut pas être présenté ici ; il se trouve dans le document original.",
        "lost": "Certains éléments n’ont pas pu être présentés ; ils se trouvent dans le document original.",
        "original": "Présentation du document ; le document original fait foi.",
    },
    "en": {
        "skip": "Skip to content",
        "patient": "Patient",
        "birth-name": "Birth name",
        "used-name": "Name in use",
        "birth": "Born",
        "gender": "Sex",
        "male": "male",
        "female": "female",
        "unknown": "not stated",
        "ins": "National health identity (INS)",
        "numbers": "Other identifiers",
        "people": "Professionals",
        "author": "Author",
        "signer": "Legal authenticator",
        "custodian": "Kept by",
        "recipient": "Recipient",
        "document": "Document",
        "type": "Type",
        "created": "Created",
        "act": "Act",
        "place": "Facility",
        "confidentiality": "Confidentiality",
        "version": "Version",
        "id": "Identifier",
        "replaced": "Replaces",
        "contents": "Contents",
        "attached": "Attachments",
        "content": "Content of the document",
        "not-shown": "this content cannot be shown here; the original document holds it.",
        "lost": "Some elements could not be shown; the original document holds them.",
        "original": "This page presents the document; the original document is authoritative.",
    },
}

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#161616;background:#fff}"
    "h1{font-size:1.6rem;border-bottom:3px solid #000091;padding-bottom:.4rem}h2{font-size:1.25rem;color:#000091}"
    "h3,h4,h5,h6{font-size:1.05rem}dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));"
    "gap:.4rem 1.5rem;margin:0}dt{font-size:.85rem;color:#555}dd{margin:0;overflow-wrap:anywhere}"
    ".text{overflow-x:auto}table{border-collapse:collapse;margin:.6rem 0}caption{font-weight:600;text-align:left}"
    "td,th{border:1px solid #929292;padding:.25rem .6rem;text-align:left;vertical-align:top}th{background:#f0f0f7}"
    "img{max-width:100%;height:auto}pre{white-space:pre-wrap}a{color:#000091}a:focus{outline:3px solid #0a76f6}"
    ".cda-Underline{text-decoration:underline}.cda-Bold{font-weight:700}.cda-Italics{font-style:italic}"
    ".cda-footnote{font-size:.9rem}.cda-caption{font-weight:600}.note{background:#fff4d6;padding:.4rem .8rem}"
    "footer{border-top:1px solid #ccc;margin-top:2rem;font-size:.85rem;color:#444}"
    ".skip{position:absolute;left:-99rem}.skip:focus{position:static}"
    "@media print{body{max-width:none;padding:0;font-size:11pt}nav,.skip{display:none}a{color:inherit}"
    "h1,h2,h3{break-after:avoid}tr,img{break-inside:avoid}thead{display:table-header-group}.text{overflow:visible}}"
)
