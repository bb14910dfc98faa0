"""What pages and the sections of measures are made of: figures, tables, sentences and holes as HTML."""
