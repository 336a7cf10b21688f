def handler(output, metadata, trace):
    """Urgent messages get the night line, others don't."""
    wanted = "urgent" if metadata["urgent"] else "standard"
    paces = [step["output"] for step in trace if step["name"] == "answer"]
    if paces != [wanted]:
        return 0, f"the pace should be {wanted}, the answer step said {', '.join(paces) or 'nothing'}"
    return ("night line" in output) == metadata["urgent"]
