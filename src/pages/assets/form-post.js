"use strict";
// The page works without this: its button does the same.
document.forms[0].submit();
