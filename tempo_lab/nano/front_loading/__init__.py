"""The front-loading study: does truncation of memory in training order its contents?"""
