"""What a store keeps of schedules: the ledger of ticks, partitions and backfills."""
