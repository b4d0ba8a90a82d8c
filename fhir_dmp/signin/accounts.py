"""Keeping local accounts: one record each, found by login, by the name of an identity provider, or listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from fhir_dmp.errors import Conflict, NotFound, StateConflict
from fhir_dmp.identity.accounts import Account, folded, from_json, to_json
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.ports import StateRecord
from fhir_dmp.signin.desk import Desk, body_of

KIND: Final = "account"
#: login -> account: makes a login unique.
LOGIN: Final = "account-login"


def add(account: Account, desk: Desk) -> None:
    """Keep a new account.

    Raises:
        Conflict: the login is taken.
    """
    now = desk.now_ms()
    name = StateRecord(LOGIN, secret_key(folded(account.login)), json.dumps({"id": account.id}))
    try:
        desk.state.put(name, now, expected=0)
    except StateConflict as error:
        raise Conflict(f"There is an account '{account.login}' already.", code="duplicate") from error
    desk.state.put(_record(account), now, expected=0)


def of_login(login: str, desk: Desk) -> Account | None:
    """Return the account of a login as typed."""
    found = desk.read(LOGIN, secret_key(folded(login)))
    return None if found is None else get(found["id"], desk)


def of_upstream(provider: str, subject: str, desk: Desk) -> Account | None:
    """Return the account that an upstream identity signs in to."""
    found = desk.state.listed(KIND, desk.now_ms(), tag=_upstream_tag(provider, subject), count=1)
    return from_json(body_of(found[0])) if found else None


def get(id_: str, desk: Desk) -> Account | None:
    """Return an account by id."""
    body = desk.read(KIND, id_)
    return None if body is None else from_json(body)


def every(desk: Desk) -> Iterator[Account]:
    """Yield every account."""
    after = ""
    while page := desk.state.listed(KIND, desk.now_ms(), after=after):
        yield from (from_json(body_of(record)) for record in page)
        after = page[-1].key


def change(id_: str, update: Callable[[Account], Account | None], desk: Desk) -> Account:
    """Replace an account; update returns None to leave it as it is. Nobody's change is lost.

    Raises:
        NotFound: there is none. StateConflict: it changes all the time.
    """
    while True:
        record = desk.state.get(KIND, id_, desk.now_ms())
        if record is None:
            raise NotFound("There is no such account.")
        account = from_json(body_of(record))
        changed = update(account)
        if changed is None:
            return account
        try:
            desk.state.put(_record(changed), desk.now_ms(), expected=record.version)
        except StateConflict:
            continue
        return changed


def disable(login: str, disabled: bool, desk: Desk) -> Account:
    """Keep the holder out from now on, or let them in again.

    Raises:
        NotFound: no account has this login.
    """
    account = of_login(login, desk)
    if account is None:
        raise NotFound(f"There is no account '{login}'.")
    return change(account.id, lambda one: replace(one, disabled=disabled), desk)


def _record(account: Account) -> StateRecord:
    tags = [f"sub:{account.subject}", *(f"patient:{each.patient}" for each in account.profiles)]
    if account.upstream:
        tags.append(_upstream_tag(*account.upstream))
    return StateRecord(KIND, account.id, json.dumps(to_json(account)), tags=tuple(dict.fromkeys(tags)))


def _upstream_tag(provider: str, subject: str) -> str:
    return f"upstream:{secret_key(f'{provider} {subject}')}"
