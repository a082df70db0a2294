"""Commands in, events out: sessions and gates, holdings, clearing, settlement."""
