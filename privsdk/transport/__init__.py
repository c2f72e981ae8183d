"""Links: how calls and frames reach a party, in this process or over Arrow Flight. Links decide nothing."""
