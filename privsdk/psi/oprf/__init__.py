"""What intersections are made of: base transfers, oblivious PRFs, key-value stores, the group ristretto255.

`blocks` maps keys to buckets and to the cells of cuckoo tables; `parameters` holds all sizes.
"""
