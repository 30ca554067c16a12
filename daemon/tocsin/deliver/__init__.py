"""From events to receivers, through a durable outbox."""
