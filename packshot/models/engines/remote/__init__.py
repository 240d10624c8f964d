"""Engines that are a vendor's service: a call with a picture, a mask and words answers with the painted picture."""
