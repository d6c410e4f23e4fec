"""From bytes to readings: records parsed, checked, and routed to their users' shards."""
