"""From a luma plane to a corrected one; pure."""
