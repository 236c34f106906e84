"""Patients. A stub: the trail issue builds the record; invitations only need its key."""

from django.db import models

from healthivr.kernel.ids import new_id
from organizations.tenancy import TenantModel


class Patient(TenantModel):
    """A patient's record in one organization."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"patient {self.pk}"
