"""Every page as people see it: a picture at two widths and in both themes (e2e/screenshots/, which git ignores), axe
without a finding, and nothing wider than the screen."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, ViewportSize, expect

from accounts.links import factor_reset_path, reset_link_path
from accounts.models import FactorReset, User, UserSession
from accounts.services import create_setup_link
from e2e.conftest import DESKTOP, PHONE
from e2e.second_factor import enrol
from healthivr.testing.factories import PASSWORD as PASSWORD_OF_ALL
from healthivr.testing.factories import AgreementFactory, InvitationFactory, MembershipFactory, UserFactory
from healthivr.testing.factors import Phone
from healthivr.testing.world import World
from invitations.acceptance import Visitor, accept_invitation
from invitations.models import Delivery, UserInvitation
from invitations.services import cancel_invitation, create_invitation, resend_invitation
from invitations.tokens import derive_token
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.models import Membership, Organization
from organizations.roles import Role
from organizations.tenancy import platform, tenant

pytestmark = [pytest.mark.browser]
FOLDER = Path(__file__).parent / "screenshots"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
PASSWORD = "seven quiet otters swim upstream"
LOOKS: list[tuple[ViewportSize, Literal["light", "dark"], bool]] = [
    (DESKTOP, "light", True),
    (DESKTOP, "dark", False),
    (PHONE, "light", False),
    (PHONE, "dark", True),
]
Look = Callable[[Page, str], None]


@pytest.fixture
def look() -> Iterator[Look]:
    """Look at the present page: pictures, axe in both themes, no sideways scrolling. What is wrong fails at the end,
    so that one run shows all of it."""
    findings: list[str] = []
    FOLDER.mkdir(exist_ok=True)

    def looked(page: Page, name: str) -> None:
        page.evaluate("document.fonts.ready")
        for viewport, theme, with_axe in LOOKS:
            page.set_viewport_size(viewport)
            page.emulate_media(color_scheme=theme)
            width, height = viewport["width"], page.evaluate("document.documentElement.scrollHeight")
            # A window as high as the page, since a picture of more than the window loses what is sticky.
            page.set_viewport_size({"width": width, "height": max(height, viewport["height"])})
            page.wait_for_timeout(120)
            page.screenshot(path=FOLDER / f"{name}-{width}-{theme}.png")
            page.set_viewport_size(viewport)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                findings.append(f"{name} scrolls sideways at {width}")
            if with_axe:
                violations = Axe().run(page, options={"runOnly": RULES}).response["violations"]
                findings.extend(f"{name} {width} {theme}: {v['id']} {v['nodes'][0]['html'][:120]}" for v in violations)
        page.set_viewport_size(DESKTOP)

    yield looked
    assert not findings, "\n".join(findings)


def link_to(site: str, invitation: UserInvitation) -> str:
    return f"{site}/i/{derive_token(invitation.token_nonce)}/"


def make(organization: Organization, by: User | None, email: str, **traits: Any) -> UserInvitation:
    with platform("test"):
        return InvitationFactory(organization=organization, invited_by=by, upline=by, email=email, **traits)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).first.click()
    page.wait_for_load_state()


def test_pages_before_there_is_an_account(
    transactional_db: None, site: str, browser_of: Callable[..., Page], look: Look
) -> None:
    secret = create_setup_link(at=timezone.now())
    page = browser_of()
    page.goto(f"{site}/setup/{secret}/")
    look(page, "setup")
    page.get_by_label("E-mail address").fill("nobody")
    press(page, "Create your account")
    look(page, "setup-errors")
    page.goto(f"{site}/setup/never-issued/")
    look(page, "setup-closed")


def test_pages_of_signing_in(committed_world: World, site: str, browser_of: Callable[..., Page], look: Look) -> None:
    page = browser_of()
    page.goto(f"{site}/sign-in/")
    look(page, "sign-in")
    page.get_by_label("E-mail address").fill("lee@example.org")
    page.get_by_label("Password", exact=True).fill("not it")
    press(page, "Sign in")
    look(page, "sign-in-errors")
    page.goto(f"{site}/password-reset/")
    look(page, "password-reset")
    page.get_by_label("E-mail address").fill("lee@example.org")
    press(page, "Mail me a link")
    look(page, "password-reset-sent")
    page.goto(site + reset_link_path(committed_world.lee))
    page.get_by_label("New password", exact=True).fill("short")
    press(page, "Save the new password")
    look(page, "new-password-errors")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    press(page, "Save the new password")
    look(page, "password-reset-done")
    page.goto(f"{site}/password-reset/x/y/")
    look(page, "password-reset-closed")


def test_pages_of_the_second_factor(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    lee = committed_world.lee
    page = browser_of()

    def sign_in() -> None:
        page.goto(f"{site}/sign-in/?next=/profile/second-factor/")
        page.get_by_label("E-mail address").fill(lee.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD_OF_ALL)
        press(page, "Sign in")

    sign_in()
    look(page, "second-factor-enrol")
    phone = Phone(page.locator("#key").inner_text())
    page.get_by_label("Code that the app shows now").fill("000000")
    press(page, "Confirm and go on")
    look(page, "second-factor-enrol-errors")
    page.get_by_label("Code that the app shows now").fill(phone.code())
    press(page, "Confirm and go on")
    look(page, "second-factor-codes")
    press(page, "I have kept them. Go on")
    look(page, "second-factor")
    UserSession.objects.update(verified_at=timezone.now() - timedelta(minutes=6))
    page.get_by_role("link", name="Set up another app").click()
    look(page, "verify")
    page.context.clear_cookies()
    sign_in()
    look(page, "sign-in-second-step")
    page.get_by_role("link", name="Use a recovery code").click()
    look(page, "sign-in-recovery-code")
    FactorReset.objects.create(user=lee, created_at=timezone.now(), expires_at=timezone.now() + FactorReset.LIFE)
    page.goto(site + factor_reset_path(lee))
    look(page, "second-factor-reset")
    page.goto(f"{site}/second-factor-reset/never-made/")
    look(page, "second-factor-reset-closed")
    admin = browser_of()
    sign_in_as(admin, committed_world.ana)
    with platform("test"):
        membership = Membership.objects.get(user=lee)
    admin.goto(f"{site}/o/lee-family-practice/people/{membership.pk}/second-factor/")
    look(admin, "second-factor-start-reset")


def test_pages_of_agreements(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    lee, ana = browser_of(), browser_of()
    sign_in_as(lee, committed_world.lee)
    sign_in_as(ana, committed_world.ana)
    here = f"{site}/o/lee-family-practice"
    with platform("test"):
        BusinessAssociateAgreement.objects.all().delete()
    lee.goto(f"{here}/agreements/")
    look(lee, "agreements-missing")
    lee.goto(f"{here}/agreements/sign/")
    look(lee, "agreement-sign")
    press(lee, "Sign agreement")
    look(lee, "agreement-sign-errors")
    ana.goto(f"{here}/agreements/draft/")
    press(ana, "Save draft")
    look(ana, "agreement-draft-errors")
    with platform("test"):
        AgreementFactory(organization=committed_world.practice, draft=True, version="custom-7")
    ana.goto(f"{here}/agreements/")
    look(ana, "agreements-draft")
    press(ana, "Send agreement")
    lee.goto(f"{here}/agreements/sign/")
    look(lee, "agreement-sign-sent")
    with platform("test"):
        ends = timezone.now() + timedelta(days=20)
        signed = AgreementFactory(organization=committed_world.practice, expires=ends)
    lee.goto(f"{here}/agreements/")
    look(lee, "agreements-ending")
    lee.goto(f"{here}/agreements/{signed.pk}/terminate/")
    look(lee, "agreement-terminate")
    lee.goto(f"{here}/compliance/")
    look(lee, "compliance")
    ana.goto(f"{site}/o/platform/agreements/")
    look(ana, "agreements-of-all")


def test_pages_of_the_api(transactional_db: None, site: str, browser_of: Callable[..., Page], look: Look) -> None:
    page = browser_of()
    page.goto(f"{site}/api/v1/docs/")
    page.locator(".opblock-post .opblock-summary-control").first.click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
    look(page, "api-docs")


def test_pages_of_home(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    world = committed_world
    with platform("test"):
        both = UserFactory(first_name="Rosa", last_name="Two-Places")
        MembershipFactory(organization=world.practice, user=both, role=Role.OFFICE_ADMIN)
        MembershipFactory(organization=world.strange_practice, user=both, role=Role.MEDICAL_STAFF)
    page = browser_of()
    sign_in_as(page, both)
    look(page, "home-choice")
    page.get_by_role("link", name="Lee Family Practice").click()
    page.locator(".switcher summary").click()
    look(page, "switcher")
    page = browser_of()
    sign_in_as(page, UserFactory(first_name="Nora", last_name="Nowhere"))
    look(page, "home-none")


def fill_practice(world: World) -> dict[str, UserInvitation]:
    """Make one invitation in every state, and return them by its name."""
    now, lee = timezone.now(), world.actor(world.lee)
    made = {
        "pending": world.invitation,
        "sent": make(world.practice, world.lee, "ines.sent@example.org", sent=True, first_name="Ines"),
        "bounced": make(world.practice, world.omar, "boris.bounced@example.org", delivery_status="bounced"),
        "expired": make(world.practice, world.lee, "elena.expired@example.org", expired=True, first_name="Elena"),
        "declined": make(world.practice, world.lee, "dev.declined@example.org", declined=True),
        "soon": make(world.practice, world.lee, "sol.soon@example.org", expires_at=now + timedelta(hours=9)),
    }
    with platform("test"):
        Delivery.objects.create(
            organization=world.practice,
            invitation=made["bounced"],
            status="bounced",
            reason="550 5.1.1 There is no such mailbox",
            next_try_at=now,
            created_at=timezone.now(),
            finished_at=timezone.now(),
        )
    with tenant(world.practice):
        invited = {
            name: create_invitation(actor=lee, invitation_type=Role.MEDICAL_STAFF, email=f"{name}@example.org", at=now)
            for name in ("accepted", "cancelled", "resent")
        }
        cancel_invitation(actor=lee, invitation_id=invited["cancelled"].pk, reason="Invited twice", at=now)
        resend_invitation(actor=lee, invitation_id=invited["resent"].pk, at=now)
    accept_invitation(
        token=derive_token(invited["accepted"].token_nonce),
        visitor=Visitor(user=None, ip="192.0.2.1", request_id="test"),
        password=PASSWORD,
        first_name="Ada",
        last_name="Accepted",
        at=timezone.now(),
    )
    return made | invited


def test_pages_of_invitations(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    made = fill_practice(committed_world)
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    root = f"{site}/o/lee-family-practice"
    page.goto(f"{root}/")
    expect(page.locator("#chart canvas")).to_be_visible()
    look(page, "overview")
    page.goto(f"{root}/invitations/")
    look(page, "invitations")
    page.get_by_label("Name or e-mail begins with").fill("zzz")
    expect(page.get_by_role("heading", name="No invitation fits these filters")).to_be_visible()
    look(page, "invitations-filtered-empty")
    for state, invitation in made.items():
        page.goto(f"{root}/invitations/{invitation.pk}/")
        look(page, f"invitation-{state}")
    one = f"{root}/invitations/{made['sent'].pk}"
    for act in ("edit", "cancel", "address"):
        page.goto(f"{one}/{act}/")
        look(page, f"invitation-{act}")
    page.get_by_label("The right e-mail address").fill("nobody")
    press(page, "Send to this address instead")
    look(page, "invitation-address-errors")


def test_pages_of_a_new_invitation(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    page.goto(f"{site}/o/lee-family-practice/invitations/new/")
    page.get_by_label("Medical staff").check()
    page.get_by_label("First name").fill("Nina")
    page.get_by_label("Note").fill("Welcome!\nSee you <soon>.")
    mail = page.frame_locator("iframe[name=preview-frame]")
    expect(mail.get_by_role("heading", name="Nina, you are invited")).to_be_visible()
    expect(mail.get_by_text("See you <soon>.")).to_be_visible()
    look(page, "new-invitation")
    page.get_by_label("E-mail address").fill("new.nurse@example.org")
    press(page, "Send invitation")
    expect(page.get_by_role("link", name="See the open invitation")).to_be_visible()
    look(page, "new-invitation-duplicate")


def test_pages_of_an_organization(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    root = f"{site}/o/lee-family-practice"
    for path, name in (("people", "people"), ("settings", "organization")):
        page.goto(f"{root}/{path}/")
        look(page, name)
    page.goto(f"{root}/people/")
    page.get_by_role("link", name="Omar Haddad").click()
    look(page, "member")
    with platform("test"):
        second = MembershipFactory(organization=committed_world.practice, user=committed_world.omar, role=Role.DOCTOR)
    page.goto(f"{root}/people/{second.pk}/end/")
    press(page, "End this role")
    look(page, "end-membership-errors")
    page.goto(f"{site}/profile/")
    look(page, "profile")
    page.goto(f"{site}/profile/password/")
    press(page, "Change password")
    look(page, "change-password-errors")
    page.goto(f"{site}/o/stone-clinic/")
    look(page, "404")
    page = browser_of()
    sign_in_as(page, committed_world.stone)
    page.goto(f"{site}/o/stone-clinic/invitations/?status=accepted")
    look(page, "invitations-filtered-empty-one")
    page = browser_of()
    sign_in_as(page, committed_world.mia)
    look(page, "overview-without-tasks")
    page.goto(f"{root}/invitations/")
    look(page, "403")
    page.goto(f"{root}/settings/")
    look(page, "organization-to-read")


def test_pages_of_an_invited_person(
    committed_world: World, site: str, browser_of: Callable[..., Page], look: Look
) -> None:
    world = committed_world
    link = link_to(site, world.invitation)
    page = browser_of()
    page.goto(link)
    look(page, "link")
    press(page, "Decline")
    press(page, "Decline")
    look(page, "link-decline-errors")
    page.goto(link)
    press(page, "Continue")
    look(page, "link-accept")
    page.get_by_label("First name").fill("Nina")
    page.get_by_label("Last name").fill("Vale")
    page.get_by_label("Password", exact=True).fill("password12345678")
    look(page, "link-accept-hints")
    page.get_by_label("Password", exact=True).fill("short")
    press(page, "Accept and create account")
    look(page, "link-accept-errors")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Accept and create account")
    expect(page.get_by_role("heading", level=1)).to_contain_text("You are in")
    look(page, "welcome")
    page.goto(link_to(site, make(world.practice, world.lee, "somebody.else@example.org")))
    look(page, "link-wrong-account")


def test_pages_of_closed_links(committed_world: World, site: str, browser_of: Callable[..., Page], look: Look) -> None:
    world = committed_world
    page = browser_of()
    now, lee = timezone.now(), world.actor(world.lee)
    for state in ("expired", "cancelled", "declined"):
        page.goto(link_to(site, make(world.practice, world.lee, f"{state}@example.org", **{state: True})))
        look(page, f"link-{state}")
    replaced = link_to(site, world.invitation)
    with tenant(world.practice):
        resend_invitation(actor=lee, invitation_id=world.invitation.pk, at=now)
    page.goto(replaced)
    look(page, "link-replaced")
    press(page, "Mail me a new link")
    look(page, "link-new-link-sent")
    page.goto(f"{site}/i/never-issued/")
    look(page, "link-unknown")
    page.context.clear_cookies()
    page.goto(f"{site}/i/accept/")
    look(page, "link-nothing-open")
    UserFactory(email="switched.off@example.org", is_active=False)
    page.goto(link_to(site, make(world.practice, world.lee, "switched.off@example.org")))
    look(page, "link-switched-off")
    # Omar could invite when he did; the organization has since taken it from office administrators.
    page.goto(link_to(site, make(world.practice, world.omar, "mia.two@example.org")))
    press(page, "Continue")
    page.get_by_label("First name").fill("Nina")
    page.get_by_label("Last name").fill("Vale")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Accept and create account")
    look(page, "link-not-entitled")


def test_pages_of_things_that_go_wrong(
    committed_world: World,
    site: str,
    browser_of: Callable[..., Page],
    sign_in_as: Callable[..., None],
    look: Look,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = browser_of()
    page.goto(f"{site}/%01/")
    look(page, "400")
    page.goto(f"{site}/sign-in/")
    page.context.clear_cookies()
    press(page, "Sign in")
    look(page, "403-csrf")
    settings.LIMITS = settings.LIMITS | {"token_pages": "1/h"}
    page.goto(f"{site}/i/never-issued/")
    page.goto(f"{site}/i/never-issued/")
    look(page, "429")
    page = browser_of()
    sign_in_as(page, committed_world.lee)
    monkeypatch.setattr("organizations.selectors.people", lambda **kwargs: 1 / 0)
    page.goto(f"{site}/o/lee-family-practice/people/")
    look(page, "500")


def test_pages_of_a_founder(
    committed_world: World, site: str, browser_of: Callable[..., Page], sign_in_as: Callable[..., None], look: Look
) -> None:
    world = committed_world
    page = browser_of()
    page.goto(link_to(site, make(world.platform, world.ana, "dr.new@example.org", invitation_type=Role.DOCTOR)))
    look(page, "link-founding")
    press(page, "Continue")
    press(page, "Accept and create account")
    look(page, "link-founding-errors")
    page.get_by_label("Name of your practice").fill("Riverbend Wound Clinic")
    page.get_by_label("First name").fill("Grace")
    page.get_by_label("Last name").fill("Kim")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Accept and create account")
    enrol(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Business associate agreement")
    page.get_by_role("link", name="Later").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are in Riverbend Wound Clinic")
    look(page, "welcome-founder")
    page.get_by_role("link", name="See the overview").click()
    look(page, "overview-empty")
    page.goto(page.url + "invitations/")
    look(page, "invitations-empty")

    page = browser_of()
    page.goto(link_to(site, make(world.platform, world.ana, world.lee.email, invitation_type=Role.DOCTOR)))
    look(page, "link-sign-in-first")
    press(page, "Sign in to accept")
    page.get_by_label("E-mail address").fill(world.lee.email)
    page.get_by_label("Password", exact=True).fill("correct horse battery staple")
    press(page, "Sign in")
    enrol(page)  # before anything is accepted
    expect(page).to_have_url(f"{site}/i/accept/")
    look(page, "link-accept-practices")
    page.get_by_label("Lee Family Practice").check()
    press(page, "Accept")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are in Lee Family Practice")
