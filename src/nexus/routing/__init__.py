"""Pure decisions: snapshot and requirements to a ranking or a refusal."""
