"""The front-loading study: does the way memory is cut in training order what it holds?"""
