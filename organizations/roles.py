"""Who may do what, and who may invite whom: one table for code, documents and tests (domain.md 3)."""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Text


class OrganizationKind(models.TextChoices):
    """What an organization is."""

    PLATFORM = "platform", _("Platform")
    CHP = "chp", _("Community health program")
    MASTER_DISTRIBUTOR = "master_distributor", _("Master distributor")
    DISTRIBUTOR = "distributor", _("Distributor")
    PRACTICE = "practice", _("Practice")
    PHARMACY = "pharmacy", _("Pharmacy")
    LAB = "lab", _("Laboratory")
    IVR_COMPANY = "ivr_company", _("Insurance verification company")
    LOGISTICS = "logistics", _("Shipping and logistics")
    PAYER = "payer", _("Payer")


class Role(models.TextChoices):
    """What somebody is in an organization (FHIR PractitionerRole.code)."""

    ADMIN = "admin", _("Administrator")
    CHP_ADMIN = "chp_admin", _("Community health program administrator")
    MASTER_DISTRIBUTOR = "master_distributor", _("Master distributor")
    DISTRIBUTOR = "distributor", _("Distributor")
    SALES = "sales", _("Sales representative")
    DOCTOR = "doctor", _("Doctor")
    OFFICE_ADMIN = "office_admin", _("Office administrator")
    MEDICAL_STAFF = "medical_staff", _("Medical staff")
    IVR_COMPANY = "ivr_company", _("Insurance verification specialist")
    SHIPPING_LOGISTICS = "shipping_logistics", _("Shipping coordinator")
    PHARMACIST = "pharmacist", _("Pharmacist")
    LAB_TECH = "lab_tech", _("Laboratory technician")
    MARKETER = "marketer", _("Marketer")
    SUPPORT = "support", _("Support")
    PATIENT = "patient", _("Patient")
    PROXY = "proxy", _("Patient's representative")
    PRIVACY_OFFICER = "privacy_officer", _("Privacy officer")


#: The ten types of checklist S0.13; each is the role that its acceptance gives. (`patient` comes with the patients.)
INVITATION_TYPES: tuple[Role, ...] = (
    Role.ADMIN,
    Role.CHP_ADMIN,
    Role.MASTER_DISTRIBUTOR,
    Role.DISTRIBUTOR,
    Role.SALES,
    Role.DOCTOR,
    Role.OFFICE_ADMIN,
    Role.MEDICAL_STAFF,
    Role.IVR_COMPANY,
    Role.SHIPPING_LOGISTICS,
)

#: What the role can see and do, in a sentence for whoever chooses it.
ROLE_SENTENCES: dict[Role, Text] = {
    Role.ADMIN: _("Runs the platform: every organization, its people and its settings. Sees no clinical data."),
    Role.CHP_ADMIN: _("Runs a community health program and what lies below it. Sees case numbers and states only."),
    Role.MASTER_DISTRIBUTOR: _("Runs a master distributor and invites distributors. Sees no patient data."),
    Role.DISTRIBUTOR: _("Runs a distributor and invites sales representatives. Sees no patient data."),
    Role.SALES: _("Invites doctors and follows the state of their cases. Sees no patient data."),
    Role.DOCTOR: _("Treats patients, signs, and runs a practice. Sees the practice's own patients."),
    Role.OFFICE_ADMIN: _("Runs the office: appointments, coverage, requests. Sees demographics and insurance."),
    Role.MEDICAL_STAFF: _("Helps to treat patients and prepares requests. Cannot sign."),
    Role.IVR_COMPANY: _("Verifies insurance for the cases assigned to the company, and sees those only."),
    Role.SHIPPING_LOGISTICS: _("Ships orders. Sees where to ship and the state of an order."),
}

#: The matrix of domain.md 3. office_admin and ivr_company have conditions of their own: `may_invite`.
INVITABLE_BY: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset(INVITATION_TYPES),
    Role.CHP_ADMIN: frozenset({Role.MASTER_DISTRIBUTOR, Role.IVR_COMPANY, Role.SHIPPING_LOGISTICS}),
    Role.MASTER_DISTRIBUTOR: frozenset({Role.DISTRIBUTOR}),
    Role.DISTRIBUTOR: frozenset({Role.SALES}),
    Role.SALES: frozenset({Role.DOCTOR}),
    Role.DOCTOR: frozenset({Role.OFFICE_ADMIN, Role.MEDICAL_STAFF}),
    Role.OFFICE_ADMIN: frozenset({Role.MEDICAL_STAFF}),
    Role.IVR_COMPANY: frozenset({Role.IVR_COMPANY}),
}

#: The kind of organization that somebody of this role works in. A person invited from an organization of that kind
#: joins it; invited from elsewhere, the person founds one, unless the role is among the JOINING.
HOME: dict[Role, OrganizationKind] = {
    Role.ADMIN: OrganizationKind.PLATFORM,
    Role.CHP_ADMIN: OrganizationKind.CHP,
    Role.MASTER_DISTRIBUTOR: OrganizationKind.MASTER_DISTRIBUTOR,
    Role.DISTRIBUTOR: OrganizationKind.DISTRIBUTOR,
    Role.SALES: OrganizationKind.DISTRIBUTOR,
    Role.DOCTOR: OrganizationKind.PRACTICE,
    Role.OFFICE_ADMIN: OrganizationKind.PRACTICE,
    Role.MEDICAL_STAFF: OrganizationKind.PRACTICE,
    Role.IVR_COMPANY: OrganizationKind.IVR_COMPANY,
    Role.SHIPPING_LOGISTICS: OrganizationKind.LOGISTICS,
}
#: The same for the roles that no invitation gives. Without an entry: everywhere.
HOMES_OF_OTHERS: dict[Role, frozenset[OrganizationKind]] = {
    Role.PHARMACIST: frozenset({OrganizationKind.PHARMACY, OrganizationKind.PRACTICE}),
    Role.LAB_TECH: frozenset({OrganizationKind.LAB, OrganizationKind.PRACTICE}),
    Role.MARKETER: frozenset({OrganizationKind.PLATFORM}),
    Role.SUPPORT: frozenset({OrganizationKind.PLATFORM}),
    Role.PATIENT: frozenset({OrganizationKind.PRACTICE}),
    Role.PROXY: frozenset({OrganizationKind.PRACTICE}),
}
#: Below which kinds an organization of a kind may be founded: the sales chain, and the platform for all of them.
FOUNDED_BELOW: dict[OrganizationKind, frozenset[OrganizationKind]] = {
    OrganizationKind.CHP: frozenset({OrganizationKind.PLATFORM}),
    OrganizationKind.MASTER_DISTRIBUTOR: frozenset({OrganizationKind.PLATFORM, OrganizationKind.CHP}),
    OrganizationKind.DISTRIBUTOR: frozenset({OrganizationKind.PLATFORM, OrganizationKind.MASTER_DISTRIBUTOR}),
    OrganizationKind.PRACTICE: frozenset({OrganizationKind.PLATFORM, OrganizationKind.DISTRIBUTOR}),
    OrganizationKind.IVR_COMPANY: frozenset({OrganizationKind.PLATFORM, OrganizationKind.CHP}),
    OrganizationKind.LOGISTICS: frozenset({OrganizationKind.PLATFORM, OrganizationKind.CHP}),
}
#: Where people stand below one another by sales. In the others the upline is on record and no matter of theirs.
SALES_CHAIN = frozenset(
    {
        OrganizationKind.PLATFORM,
        OrganizationKind.CHP,
        OrganizationKind.MASTER_DISTRIBUTOR,
        OrganizationKind.DISTRIBUTOR,
    }
)
JOINING = frozenset({Role.ADMIN, Role.SALES, Role.OFFICE_ADMIN, Role.MEDICAL_STAFF})


def starts_organization(role: Role) -> bool:
    """Say whether the first of this role in an organization that nobody runs is the one who runs it: whoever would found
    one, invited from elsewhere. The others join what somebody runs."""
    return role not in JOINING


#: Who cannot run an organization: they are cared for there, and do not work there.
NEVER_ADMINISTRATORS = frozenset({Role.PATIENT, Role.PROXY})

#: Which roles somebody of a role who runs an organization (`people.manage`) may give to its members, and take from them:
#: none that stands at or above their own, save where this table says so. It does for the platform's Admins, who are each
#: other's check, and for companies in which all do the same work (domain.md 3.1: "colleagues if org admin"). Doctors come
#: by invitation and approval: only the platform makes somebody one. Nobody changes their own role (granting.py).
GRANTABLE_BY: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset(Role) - NEVER_ADMINISTRATORS,
    Role.DISTRIBUTOR: frozenset({Role.SALES}),
    Role.DOCTOR: frozenset({Role.OFFICE_ADMIN, Role.MEDICAL_STAFF, Role.PHARMACIST, Role.LAB_TECH}),
    Role.OFFICE_ADMIN: frozenset({Role.MEDICAL_STAFF, Role.LAB_TECH}),
    Role.IVR_COMPANY: frozenset({Role.IVR_COMPANY}),
    Role.SHIPPING_LOGISTICS: frozenset({Role.SHIPPING_LOGISTICS}),
    Role.PHARMACIST: frozenset({Role.PHARMACIST}),
    Role.LAB_TECH: frozenset({Role.LAB_TECH}),
}
#: What each administrator of an organization may give, whatever their role is there (domain.md 3.1).
GRANTABLE_BY_ADMINISTRATORS = frozenset({Role.PRIVACY_OFFICER})

#: Who signs in with a second factor, whatever their organization's policy says (domain.md 3.1). So does everybody who
#: runs an organization (migration 0012).
SECOND_FACTOR_ROLES = frozenset({Role.ADMIN, Role.CHP_ADMIN, Role.DOCTOR, Role.PRIVACY_OFFICER})
#: Who works with patients' data (P2 and more in domain.md 3.1): cannot be brought in where no agreement is in force.
PATIENT_DATA_ROLES = frozenset(
    {
        Role.DOCTOR,
        Role.OFFICE_ADMIN,
        Role.MEDICAL_STAFF,
        Role.IVR_COMPANY,
        Role.SHIPPING_LOGISTICS,
        Role.PHARMACIST,
        Role.LAB_TECH,
    }
)

#: Who practices with a license of their own, which the platform approves (checklist S3.51).
LICENSED_ROLES = frozenset({Role.DOCTOR})


class Capability(StrEnum):
    """What a service may ask an actor for. Codes, not role names (C7)."""

    VIEW_INVITATIONS = "invitations.view"
    VIEW_ALL_INVITATIONS = "invitations.view_all"
    INVITE = "invitations.create"
    MANAGE_ALL_INVITATIONS = "invitations.manage_all"
    VIEW_PEOPLE = "people.view"
    MANAGE_PEOPLE = "people.manage"
    VIEW_ORGANIZATION = "organization.view"
    MANAGE_ORGANIZATION = "organization.manage"
    VIEW_DOWNLINE = "organization.downline"
    VIEW_ORGANIZATIONS = "organizations.view"
    RUN_ORGANIZATIONS = "organizations.run"
    VIEW_ACCOUNTS = "people.accounts"
    UNLOCK_PEOPLE = "people.unlock"
    REVIEW_ACCESS = "people.review"
    MANAGE_AGREEMENTS = "agreements.manage"
    DRAFT_AGREEMENTS = "agreements.draft"
    VIEW_COMPLIANCE = "compliance.view"
    APPROVE_PRACTITIONERS = "practitioners.approve"
    RUN_ACCOUNTS = "accounts.run"


_INVITER = frozenset({Capability.VIEW_INVITATIONS, Capability.INVITE})
_ADMINISTRATOR = frozenset(
    {
        Capability.VIEW_INVITATIONS,
        Capability.VIEW_ALL_INVITATIONS,
        Capability.MANAGE_ALL_INVITATIONS,
        Capability.VIEW_PEOPLE,
        Capability.MANAGE_PEOPLE,
        Capability.VIEW_ORGANIZATION,
        Capability.MANAGE_ORGANIZATION,
        Capability.VIEW_ORGANIZATIONS,
        Capability.VIEW_ACCOUNTS,
        Capability.UNLOCK_PEOPLE,
        Capability.REVIEW_ACCESS,
        Capability.MANAGE_AGREEMENTS,
        Capability.VIEW_COMPLIANCE,
    }
)
_SELLER = _INVITER | {Capability.VIEW_ORGANIZATION, Capability.VIEW_ORGANIZATIONS, Capability.VIEW_DOWNLINE}

ROLE_CAPABILITIES: dict[Role, frozenset[Capability]] = {
    Role.ADMIN: _ADMINISTRATOR
    | _INVITER
    | {
        Capability.VIEW_DOWNLINE,
        Capability.RUN_ORGANIZATIONS,
        Capability.APPROVE_PRACTITIONERS,
        Capability.DRAFT_AGREEMENTS,
        Capability.RUN_ACCOUNTS,
    },
    Role.CHP_ADMIN: _SELLER | {Capability.VIEW_PEOPLE, Capability.VIEW_COMPLIANCE},
    Role.MASTER_DISTRIBUTOR: _SELLER,
    Role.DISTRIBUTOR: _SELLER,
    Role.SALES: _INVITER | {Capability.VIEW_ORGANIZATION},
    Role.DOCTOR: _INVITER | {Capability.VIEW_PEOPLE, Capability.VIEW_ORGANIZATION},
    Role.OFFICE_ADMIN: _INVITER | {Capability.VIEW_PEOPLE, Capability.VIEW_ORGANIZATION},
    Role.MEDICAL_STAFF: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.IVR_COMPANY: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.SHIPPING_LOGISTICS: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.PHARMACIST: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.LAB_TECH: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.MARKETER: frozenset({Capability.VIEW_ORGANIZATION}),
    Role.SUPPORT: frozenset(
        {
            Capability.VIEW_ORGANIZATION,
            Capability.VIEW_PEOPLE,
            Capability.VIEW_ACCOUNTS,
            Capability.UNLOCK_PEOPLE,
        }
    ),
    Role.PATIENT: frozenset(),
    Role.PROXY: frozenset(),
    Role.PRIVACY_OFFICER: frozenset(
        {
            Capability.VIEW_ORGANIZATION,
            Capability.VIEW_PEOPLE,
            Capability.VIEW_ACCOUNTS,
            Capability.REVIEW_ACCESS,
            Capability.VIEW_COMPLIANCE,
        }
    ),
}


def capabilities(*, roles: frozenset[Role], is_org_admin: bool) -> frozenset[Capability]:
    """Return what somebody with these roles in one organization may do there. The administrator's flag adds running the
    organization and its people; whom they may invite stays with the role."""
    granted = frozenset[Capability]().union(*(ROLE_CAPABILITIES[role] for role in roles))
    if is_org_admin:
        granted |= _ADMINISTRATOR
        if Role.IVR_COMPANY in roles:
            granted |= _INVITER
    return granted


def may_invite(
    role: Role, invitation_type: Role, *, is_org_admin: bool = False, staff_may_invite: bool = False
) -> bool:
    """Say whether somebody of `role` may invite for `invitation_type`, wherever both of them are.

    `staff_may_invite` is the organization's setting that lets office administrators invite medical staff.
    """
    if role == Role.IVR_COMPANY and not is_org_admin:
        return False
    if role == Role.OFFICE_ADMIN and not staff_may_invite:
        return False
    return invitation_type in INVITABLE_BY.get(role, frozenset())


def may_grant(roles: frozenset[Role], role: Role, kind: OrganizationKind, *, is_org_admin: bool) -> bool:
    """Say whether somebody with these roles in an organization of a kind may give `role` to a member, or take it away.
    (That they run its people at all is asked apart: `people.manage`.)"""
    granted = frozenset[Role]().union(*(GRANTABLE_BY.get(own, frozenset()) for own in roles))
    if is_org_admin:
        granted |= GRANTABLE_BY_ADMINISTRATORS
    return role in granted and can_work_in(role, kind)


def can_work_in(role: Role, kind: OrganizationKind) -> bool:
    """Say whether somebody of this role can be a member of an organization of that kind."""
    if role in HOME:
        return HOME[role] == kind
    return role not in HOMES_OF_OTHERS or kind in HOMES_OF_OTHERS[role]


def founds_organization(invitation_type: Role, sender: OrganizationKind) -> bool:
    """Say whether accepting this type, sent from an organization of kind `sender`, founds a new organization."""
    return invitation_type not in JOINING and HOME[invitation_type] != sender


def starting_role(kind: str) -> Role | None:
    """Return the role of who runs an organization of a kind from the first day; None where no invitation brings anybody
    who does."""
    return next((role for role, home in HOME.items() if home == kind and starts_organization(role)), None)


def may_stand_below(kind: OrganizationKind, parent: OrganizationKind) -> bool:
    """Say whether an organization of a kind has its place below one of another: where it may be founded, and of kinds
    that nobody founds by invitation, below the platform."""
    if kind == OrganizationKind.PLATFORM:
        return False
    return parent in FOUNDED_BELOW.get(kind, frozenset({OrganizationKind.PLATFORM}))


def can_be_sent_from(invitation_type: Role, sender: OrganizationKind) -> bool:
    """Say whether the type makes sense in an organization of that kind: who joins must belong there, and what is founded
    must have its place below it."""
    home = HOME[invitation_type]
    if founds_organization(invitation_type, sender):
        return sender in FOUNDED_BELOW[home]
    return home == sender
