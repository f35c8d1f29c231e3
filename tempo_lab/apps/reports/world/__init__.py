"""`tempo-lab evaluate world`: the method's claims, measured on held-out procedural videos."""
