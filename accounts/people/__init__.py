"""The pages about people of an organization: who they are, what is to know of their accounts, the review of access."""
