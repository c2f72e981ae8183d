"""Links: how calls and frames reach a party, in process or over Arrow Flight; certificates. They decide nothing."""
