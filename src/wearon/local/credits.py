"""Credits of the local platform: accounts and ledgers, with the rules of production's SQL functions."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wearon.local.database import LocalDatabase, marks
from wearon.platform.base import (
    LEDGERS_AT_ONCE,
    Channel,
    LedgerEntry,
    LedgerEntryType,
    PlatformRefused,
    Refund,
    Session,
    ShopperRefund,
    StoreRefund,
    UserRefund,
)
from wearon.platform.session_rows import as_uuid

DEMO_CREDITS = 1000
"""What an owner starts with: more than trying it out takes."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where a balance lies: a table and the columns that name its owner."""

    table: str
    owner: dict[str, str]

    @property
    def where(self) -> str:
        """The owner's row; its placeholders stand for the values of `owner`."""
        return " and ".join(f"{column} = ?" for column in self.owner)


class LocalCredits:
    """Accounts and ledgers in the platform's database. `now` gives the time as the tables hold it."""

    def __init__(self, database: LocalDatabase, now: Callable[[], str]) -> None:
        self._database = database
        self._now = now

    async def balance(self, account: Account) -> int | None:
        """The credits of an account; None when there is no such account."""
        rows = await self._database.rows(
            f"select balance from {account.table} where {account.where}",  # noqa: S608
            *account.owner.values(),
        )
        return rows[0]["balance"] if rows else None

    async def entries(self, session: Session) -> Sequence[LedgerEntry]:
        if session.ref.channel is Channel.B2C:
            rows = await self._database.rows(
                "select user_id as owner_id, * from credit_transactions"
                " where user_id = ? and type = 'refund' and instr(description, ?) order by id",
                canonical(session.ref.owner_id),
                canonical(session.ref.session_id),
            )
        elif session.request_id is None:
            rows = []
        else:
            rows = await self._database.rows(
                f"select store_id as owner_id, * from store_credit_transactions where store_id = ? and request_id = ?"  # noqa: S608
                f" and type in ({marks(LedgerEntryType)}) order by id",
                canonical(session.ref.owner_id),
                session.request_id,
                *LedgerEntryType,
            )
        return [_entry(row) for row in rows]

    async def refunds_naming(self, session: Session) -> Sequence[LedgerEntry]:
        owner, table = (
            ("user_id", "credit_transactions")
            if session.ref.channel is Channel.B2C
            else ("store_id", "store_credit_transactions")
        )
        rows = await self._database.rows(
            f"select {owner} as owner_id, * from {table} where type = 'refund' and instr(description, ?)"  # noqa: S608
            f" order by id limit {LEDGERS_AT_ONCE}",
            canonical(session.ref.session_id),
        )
        return [_entry(row) for row in rows]

    async def give_back(self, refund: Refund) -> bool:
        async with self._database.transaction():
            if isinstance(refund, UserRefund):
                await self.write_user_ledger(refund.user_id, refund.amount, "refund", refund.description)
            elif not await self.write_store_ledger(
                refund.store_id, refund.request_id, refund.amount, "refund", refund.description
            ):
                return False
            if not await self._add(_account_of_refund(refund), refund.amount):
                raise PlatformRefused("there is no such credit account")
        return True

    async def open_account(self, account: Account) -> None:
        """Make the account within a transaction, with DEMO_CREDITS, when it is missing."""
        await self._database.insert(account.table, {**account.owner, "balance": DEMO_CREDITS}, "on conflict do nothing")

    async def take(self, account: Account, amount: int) -> None:
        """Take credits within a transaction. Raises PlatformRefused when there are not as many."""
        if not await self._database.change(
            f"update {account.table} set balance = balance - ? where {account.where} and balance >= ?",  # noqa: S608
            amount,
            *account.owner.values(),
            amount,
        ):
            raise PlatformRefused("not enough credits")

    async def write_user_ledger(self, user_id: str, amount: int, kind: str, description: str) -> None:
        """Write a row of a user's ledger within a transaction."""
        row = {"user_id": canonical(user_id), "amount": amount, "type": kind, "description": description}
        await self._database.insert("credit_transactions", row | {"created_at": self._now()})

    async def write_store_ledger(
        self, store_id: str, request_id: str, amount: int, kind: str, description: str
    ) -> bool:
        """Write a row of a store's ledger within a transaction; False when the request has one of this kind already."""
        row = {
            "store_id": canonical(store_id),
            "request_id": request_id,
            "amount": amount,
            "type": kind,
            "description": description,
            "created_at": self._now(),
        }
        return await self._database.insert(
            "store_credit_transactions", row, "on conflict (store_id, request_id, type) do nothing"
        )

    async def _add(self, account: Account, amount: int) -> bool:
        return await self._database.change(
            f"update {account.table} set balance = balance + ? where {account.where}",  # noqa: S608
            amount,
            *account.owner.values(),
        )


def _entry(row: sqlite3.Row) -> LedgerEntry:
    return LedgerEntry(LedgerEntryType(row["type"]), row["description"] or "", row["owner_id"], row["amount"])


def account_of(channel: Channel, owner_id: str, shopper_email: str | None = None) -> Account:
    """Where an owner's credits are; with `shopper_email` those of a store's shopper."""
    if channel is Channel.B2C:
        return Account("user_credits", {"user_id": owner_id})
    if shopper_email is None:
        return Account("store_credits", {"store_id": owner_id})
    return Account("store_shopper_credits", {"store_id": owner_id, "shopper_email": shopper_email})


def _account_of_refund(refund: Refund) -> Account:
    match refund:
        case UserRefund():
            return account_of(Channel.B2C, canonical(refund.user_id))
        case StoreRefund():
            return account_of(Channel.B2B, canonical(refund.store_id))
        case ShopperRefund():
            return account_of(Channel.B2B, canonical(refund.store_id), refund.shopper_email)


def canonical(text: str) -> str:
    """The one spelling that the tables hold. What is no uuid is refused, as PostgreSQL does."""
    uuid = as_uuid(text)
    if uuid is None:
        raise PlatformRefused("an id is not a uuid")
    return uuid
