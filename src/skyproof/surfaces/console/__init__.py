"""The operators' page: what a product manager looks at first. Pages are plain HTML, without a script."""
