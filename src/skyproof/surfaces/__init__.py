"""What people touch: API, console, command line. Thin: translate, call, translate back."""
