"""What a run trains: proposals alone, or a whole detector with them. The loop is the same."""
