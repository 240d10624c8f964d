"""Webhooks: signed events to the receivers that tenants name, at public addresses only."""

from packshot.webhooks.egress import Answered, Egress, NoReply, Reply
from packshot.webhooks.sender import Sender

__all__ = ["Answered", "Egress", "NoReply", "Reply", "Sender"]
