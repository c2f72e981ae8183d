"""What intersections are made of: oblivious PRFs and transfers, cuckoo tables, key-value stores, the group."""
