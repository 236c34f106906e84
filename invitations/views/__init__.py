"""Pages of invitations: staff's (staff.py), the overview (overview.py), and the invited person's (invitee.py)."""
