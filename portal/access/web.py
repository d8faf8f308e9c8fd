"""``/account``: one's own password, and signing out everywhere; ``/access``: an administrator ends tokens, unlocks names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from center.accounts import Accounts, WrongCredentials
from center.database import Row
from center.errors import Failure, Forbidden, Invalid
from center.identity import Actor
from center.passwords import MIN_PASSWORD
from center.permits import Act, permit
from center.signing import CertificateSigner
from center.web import COOKIE, Web


@dataclass(frozen=True, slots=True)
class AccountView:
    """trouble: why the last change was refused."""

    login: str
    trouble: Failure | None = None
    shortest_password: int = MIN_PASSWORD


@dataclass(frozen=True, slots=True)
class AccessView:
    """locked: people whose name somebody tried too often, with locked_until; tokens: in force, never their secrets."""

    locked: Sequence[Row]
    tokens: Sequence[Row]


def router(web: Web, accounts: Accounts, signer: CertificateSigner) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    def account(request: Request, actor: Actor, trouble: Failure | None = None) -> Response:
        view = AccountView(actor.login, trouble)
        return web.page(request, "access/account.html", status=trouble.answer.http if trouble else 200, view=view)

    @routes.get("/account")
    def own(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        _refuse_program(actor)
        return account(request, actor)

    @routes.post("/account/password")
    def change(
        request: Request,
        old: str = Form(""),
        new: str = Form(""),
        again: str = Form(""),
        actor: Actor = Depends(web.actor),
    ) -> Response:
        _refuse_program(actor)
        try:
            if new != again:
                raise Invalid("两次输入的新密码不一样。", "The two new passwords differ.")
            accounts.change_password(actor, old, new, signer.rewrap)
        except WrongCredentials as refused:  # he is signed in: a wrong password must not look like a lost session
            return account(request, actor, Invalid(refused.zh, refused.en))
        except Invalid as refused:
            return account(request, actor, refused)
        return _signed_out(web)

    @routes.post("/account/sign-out")
    def leave_everywhere(actor: Actor = Depends(web.actor)) -> Response:
        _refuse_program(actor)
        accounts.sign_out_everywhere(actor)
        return _signed_out(web)

    @routes.get("/access")
    def access(request: Request, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.ACCESS_CHANGE)
        locked = [person for person in accounts.people() if person["locked_until"]]
        return web.page(request, "access/access.html", view=AccessView(locked, accounts.tokens()))

    @routes.post("/access/people/{login}/unlock")
    def unlock(login: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.ACCESS_CHANGE)
        accounts.unlock(login, actor)
        return web.redirect("/access")

    @routes.post("/access/tokens/{token_id}/revoke")
    def revoke(token_id: str, actor: Actor = Depends(web.actor)) -> Response:
        permit(actor, Act.ACCESS_CHANGE)
        accounts.revoke_token(token_id, actor)
        return web.redirect("/access")

    return routes


def _refuse_program(actor: Actor) -> None:
    if actor.kind != "person":
        raise Forbidden("程序令牌不能这样做。", "A program's token cannot do this.")


def _signed_out(web: Web) -> Response:
    answer = web.redirect("/sign-in")
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer
