"""Reviews: what a reason changes in the next version of a picture. The store keeps their states (store/reviews.py)."""
