"""The API of people: /api/v1/admin/users/ (checklist S2.11 to S2.15). It stands here, above accounts, because making a
person is inviting one, and because who leaves leaves invitations behind."""
