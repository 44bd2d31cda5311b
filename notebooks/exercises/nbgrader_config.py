"""What nbgrader has to know about this course; read by its commands and by build.py."""

c = get_config()  # noqa: F821 - nbgrader provides it

c.CourseDirectory.course_id = "attribution"
c.ClearSolutions.code_stub = {
    "python": "# YOUR CODE HERE\n"
    'raise NotImplementedError("not solved yet: put your code here, run this cell, then the check")'
}
c.Execute.timeout = 600  # seconds a cell may take where the store is still empty
