"""Webhooks: how a delivery is sent, what its answer means, and the deliveries of one webhook. `duties` runs them."""
