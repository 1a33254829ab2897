"""What joins the SDK to other systems, each an extra. Nothing is imported here, and nothing that is not installed."""
