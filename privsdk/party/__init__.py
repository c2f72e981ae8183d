"""A data owner's side: the gate and what it needs. A notebook reaches it only through a link."""
